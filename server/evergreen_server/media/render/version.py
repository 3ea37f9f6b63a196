"""What the same film would be rendered in another way by: a version of ours, and FFmpeg's."""

from importlib.metadata import version
from typing import Final

VERSION: Final = 2
"""Counts up whenever the same piece would be rendered in another way."""


def renderer_version() -> str:
    """Returns what names this renderer, without loading it."""
    return f"{VERSION} of av {version('av')}"
