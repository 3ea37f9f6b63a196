"""No room has more modules than one can keep in view."""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("server/evergreen_server", "storage/evergreen_storage", "clients/python/evergreen")
MOST = 18


def test_a_room_has_eighteen_modules_at_most() -> None:
    modules = [
        path
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.name != "__init__.py" and "_pb2" not in path.name
    ]
    crowded = {str(room): number for room, number in Counter(path.parent for path in modules).items() if number > MOST}

    assert len(modules) > 300
    assert crowded == {}
