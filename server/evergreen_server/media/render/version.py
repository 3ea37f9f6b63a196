"""What the same film would be rendered in another way by: a version of ours, FFmpeg's, and the font of captions."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Final

VERSION: Final = 2
"""Counts up whenever the same piece would be rendered in another way."""


def renderer_version(caption_font: Path | None = None) -> str:
    """Returns what names this renderer, without loading it. Raises OSError of the font."""
    font = "" if caption_font is None else hashlib.sha256(caption_font.read_bytes()).hexdigest()
    return f"{VERSION} of av {version('av')} {font}".rstrip()
