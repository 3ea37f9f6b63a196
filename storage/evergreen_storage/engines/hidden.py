"""Hidden names, which no key can have: of files before they are whole, and of folders that are being removed."""

import re
import secrets
from typing import Final

_PART: Final = re.compile(r"\..+\.[0-9a-f]{16}\.part", re.DOTALL)
_REMOVED: Final = re.compile(r"\.[0-9a-f]{16}\.gone")


def part_name(name: str) -> str:
    """Returns a new hidden name for a file that is to be renamed to `name` once it is whole."""
    return f".{name}.{secrets.token_hex(8)}.part"


def is_part(name: str) -> bool:
    """Returns whether `part_name` made this name."""
    return _PART.fullmatch(name) is not None


def removed_name() -> str:
    """Returns a new hidden name for a folder that is being removed, and whose rest the sweep removes."""
    return f".{secrets.token_hex(8)}.gone"


def is_removed(name: str) -> bool:
    """Returns whether `removed_name` made this name."""
    return _REMOVED.fullmatch(name) is not None
