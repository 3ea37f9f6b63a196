"""Sentences of a text in some language."""

from collections.abc import Iterator
from typing import Final

import sentencex

from evergreen_server.film.screenplay.source import squeezed

__all__ = ["first_sentence", "sentences_of"]

_PIECE: Final = 2_000
"""Characters that are looked at together. The library takes quadratic time over quotes that nobody closes."""


def sentences_of(text: str, language: str = "") -> tuple[str, ...]:
    """Returns the sentences of a text in their order, none of them empty; of an unknown language by English rules."""
    return tuple(
        sentence
        for piece in _pieces(squeezed(text))
        for found in sentencex.segment(language.partition("-")[0].lower() or "en", piece)
        if (sentence := found.strip())
    )


def first_sentence(text: str, language: str = "") -> str:
    """Returns the first sentence of a text; "" if it has none."""
    return next(iter(sentences_of(text[:_PIECE], language)), "")


def _pieces(text: str) -> Iterator[str]:
    while len(text) > _PIECE:
        cut = text.rfind(" ", 1, _PIECE)
        cut = cut if cut > 0 else _PIECE
        yield text[:cut]
        text = text[cut:].lstrip()
    if text:
        yield text
