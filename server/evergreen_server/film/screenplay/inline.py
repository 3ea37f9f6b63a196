"""Marks within a line: Markdown's taken away, and marks that are meant as text kept from whoever looks for marks."""

import re
from typing import Final

__all__ = ["plain_text", "unveiled", "veiled"]

_EMPHASIS: Final = re.compile(r"(?<![\w*])(\*{1,3}|_{1,3})(?=\S)([^*_]+)(?<=\S)\1(?!\w)")
_LINK: Final = re.compile(r"!?\[([^\[\]]*)\]\([^()\[\]]*\)")
_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")

# Noncharacters, which no script may have, stand for the marks that are text.
_VEIL: Final = str.maketrans({mark: chr(0xFDD0 + number) for number, mark in enumerate("*_\\[]`")})
_UNVEIL: Final = {ord(veil): chr(mark) for mark, veil in _VEIL.items()}


def veiled(text: str) -> str:
    """Returns a text whose marks are hidden from whoever looks for them."""
    return text.translate(_VEIL)


def unveiled(text: str) -> str:
    """Returns a text with the hidden marks shown again."""
    return text.translate(_UNVEIL)


def plain_text(text: str) -> str:
    """Returns a text of single spaces without emphasis, links, code marks and escapes."""
    text = _ESCAPE.sub(lambda found: veiled(found[1]), text)
    text = _LINK.sub(r"\1", text)
    # Twice: italics may stand within bold text. What is nested deeper stays as it is written.
    text = _EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", text))
    return unveiled(text.replace("`", "")).strip()
