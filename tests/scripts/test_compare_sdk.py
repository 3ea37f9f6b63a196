"""The table of models says what the provider's SDK says, and a difference between the two is found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CATALOG = Path("evergreen_server/providers/runway/catalog/rows")


def compared(server: Path) -> tuple[int, str]:
    """Compares the table in a folder of sources."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = (sys.executable, str(ROOT / "scripts/compare_sdk.py"))
    done = subprocess.run(
        command, env=environ | {"PYTHONPATH": str(server)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.stderr
    return done.returncode, done.stdout


def test_the_table_agrees_with_the_sdk() -> None:
    status, said = compared(ROOT / "server")

    assert said == "106 rows compared with the SDK, 0 differences.\n"
    assert status == 0


CHANGED = [
    ("picture_models.py", '"low", "medium", "high", "auto"', '"low", "medium", "high"', "gpt_image_2 quality"),
    ("picture_sizes.py", "1680:720", "1680:721", "gen4_image ratio!"),
    ("voices.py", "Maya Arjun", "Maia Arjun", "eleven_v3 voice!"),
    ("voices.py", "violet roman", "roman", "gwm1_avatars speech!"),
    ("finishing_models.py", '"29_97"', '"29.97"', "enhance_frame_rate targetFramerate!"),
    ("runway_models.py", "OneOf((4, 6, 8))", "OneOf((4, 6, 8, 10))", "veo3.1 duration"),
    ("sound_models.py", '"duration!": Number(0.1', '"duration": Number(0.1', "mirelo_sfx_2_0 duration"),
    ("sound_models.py", '"numSpeakers": Whole(1)', '"numSpeakers": Text()', "eleven_voice_dubbing numSpeakers"),
    ("recipes.py", '"firstFrame": FILE, ', "", "multi_shot_video firstFrame"),
    ("picture_models.py", 'yield _made_of("nano_banana_2.1", banana)', "", "nano_banana_2.1: only in the SDK"),
]


def changed(folder: Path, *changes: tuple[str, str, str, str]) -> Path:
    """Makes a copy of the table with these changes."""
    package = "evergreen_server"
    for part in ("ports", "providers/runway/catalog"):
        shutil.copytree(ROOT / "server" / package / part, folder / package / part)
    for part in (".", "providers", "providers/runway"):
        shutil.copy(ROOT / "server" / package / part / "__init__.py", folder / package / part)
    for file, old, new, _ in changes:
        text = (folder / CATALOG / file).read_text()
        assert text.count(old)
        (folder / CATALOG / file).write_text(text.replace(old, new, 1))
    return folder


def test_one_value_changed_by_hand_is_told(tmp_path: Path) -> None:
    status, said = compared(changed(tmp_path, CHANGED[0]))

    assert status == 1
    [line, summary] = said.splitlines()
    assert CHANGED[0][3] in line
    assert summary == "106 rows compared with the SDK, 1 differences."


def test_changes_of_every_kind_are_told(tmp_path: Path) -> None:
    _, said = compared(changed(tmp_path, *CHANGED))

    for *_, told in CHANGED:
        assert told in said
