"""Files that a worker reads and writes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["LOCAL", "whole"]

LOCAL = {"protocol_whitelist": "file"}
"""Options of a container that is read: a playlist must not lead to another place."""


@contextmanager
def whole(target: str) -> Iterator[Path]:
    """Gives a path to write to, which becomes the target once the block has ended well, and is removed otherwise."""
    unfinished = Path(f"{target}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
