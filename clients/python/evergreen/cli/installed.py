"""What is installed beside the client: the version, and commands of other packages.

Read from the folders of the distributions themselves: `importlib.metadata` takes longer to load than all of a --help.
"""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

PLUGINS = "evergreen.commands"
OURS = "evergreen_video-"


def version() -> str:
    """Returns the version of this package."""
    for folder in _distributions():
        if folder.name.startswith(OURS):
            return folder.name.removeprefix(OURS).removesuffix(".dist-info")
    # Installed in another way than by a wheel.
    from importlib.metadata import version as found

    return found("evergreen-video")


def plugins() -> dict[str, str]:
    """Returns the commands that packages add, by name: `module:attribute`, as their entry points say."""
    found: dict[str, str] = {}
    for folder in _distributions():
        try:
            text = (folder / "entry_points.txt").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if f"[{PLUGINS}]" in text:
            for line in text.partition(f"[{PLUGINS}]")[2].partition("\n[")[0].splitlines():
                name, _, place = line.partition("=")
                if place and not name.startswith(("#", ";")):
                    # As in Python's own path, what comes first wins.
                    found.setdefault(name.strip(), place.partition("[")[0].strip())
    return found


def load(place: str) -> object:
    """Returns what `module:attribute` names. Raises ImportError, AttributeError."""
    module, _, attribute = place.partition(":")
    found: object = import_module(module)
    for name in filter(None, attribute.split(".")):
        found = getattr(found, name)
    return found


def _distributions() -> Iterator[Path]:
    for entry in dict.fromkeys(sys.path):
        folder = Path(entry or ".")
        try:
            yield from sorted(folder.glob("*.dist-info"))
        except OSError:
            continue
