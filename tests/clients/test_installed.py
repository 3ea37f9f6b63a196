"""The wheel as other teams install it: alone in an empty environment, with the oldest and newest dependencies."""

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.serving import SAMPLES, ServerProcess

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


async def run(*command: str | Path, cwd: Path, seconds: float = 180, **environ: str) -> str:
    """Runs a command to its end and gives what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**clean_environment(), **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command}: {err.decode()}{out.decode()}"
    return out.decode()


def clean_environment() -> Mapping[str, str]:
    """The environment without what would lead Python to the sources or to another environment."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
    subprocess.run([UV, "build", *options, ROOT], check=True, timeout=180, env=clean_environment())
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_has_the_dashboard_as_it_is_built_here(wheel: Path) -> None:
    static = ROOT / "server" / "evergreen_server" / "gateway" / "static"

    with ZipFile(wheel) as archive:
        packed = {Path(name).name: archive.read(name) for name in archive.namelist() if "/gateway/static/" in name}

    assert packed == {file.name: file.read_bytes() for file in static.iterdir()}
    assert "index.html" in packed


async def installed(wheel: Path, folder: Path, *options: str) -> Path:
    """Makes an environment that holds the wheel and what it needs, and gives its Python."""
    await run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    await run(UV, "pip", "install", "--quiet", "--python", python, *options, wheel, cwd=folder)
    return python


def floors() -> str:
    """The oldest versions that the project says it works with, as `installed.py` prints them."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return " ".join(re.sub(r">=([\d.]+),.*", r" \1", each) for each in declared)


@pytest.mark.parametrize("resolution", ["lowest", "highest"])
async def test_the_client_works_with_the_oldest_and_the_newest_dependencies(
    wheel: Path, tmp_path: Path, resolution: str
) -> None:
    python = await installed(wheel, tmp_path, "--resolution", resolution)

    async with ServerProcess(tmp_path / "data", "", program=("-m", "evergreen_server", "serve", "--sandbox")) as server:
        api = await server.start()
        script = ROOT / "tests" / "clients" / "installed.py"
        printed = await run(python, "-P", script, api.address, SAMPLES / "rocket.jpg", tmp_path, cwd=tmp_path)

    versions = re.sub(r"(\.0)+(?= |$)", "", printed.strip())
    if resolution == "lowest":
        assert versions == re.sub(r"(\.0)+(?= |$)", "", floors())
    else:
        assert versions != re.sub(r"(\.0)+(?= |$)", "", floors())


async def test_the_readmes_ten_lines_run_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    python = await installed(wheel, tmp_path)
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    packages = await run(UV, "pip", "list", "--quiet", "--python", python, cwd=tmp_path)
    assert not re.search(r"^(click|aiohttp|dbos|sqlalchemy|fsspec|av) ", packages, re.MULTILINE)
    picture = tmp_path / "tests" / "samples" / "rocket.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes((SAMPLES / "rocket.jpg").read_bytes())

    async with ServerProcess(tmp_path / "data", "", program=("-m", "evergreen_server", "serve", "--sandbox")) as server:
        api = await server.start()
        # Word for word, but that the port is one that is free.
        (tmp_path / "readme.py").write_text(program.replace("127.0.0.1:50051", api.address))
        printed = await run(python, "-P", "readme.py", cwd=tmp_path)

    *progress, file = printed.split()
    assert progress[-2:] == ["succeeded", "100%"]
    assert (tmp_path / file).stat().st_size > 0
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    await run(*mypy, "readme.py", cwd=tmp_path)
    (tmp_path / "wrong.py").write_text(program.replace('project_id="film"', "project_id=5"))
    with pytest.raises(AssertionError, match="project_id"):
        await run(*mypy, "wrong.py", cwd=tmp_path)
    assert len([line for line in program.splitlines() if line.strip()]) <= 12
