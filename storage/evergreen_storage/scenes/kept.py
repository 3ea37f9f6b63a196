"""A cache of decoded documents, so that an unchanged one need not be decoded again."""

from collections import OrderedDict
from typing import Final, NamedTuple

from evergreen_storage.scenes.document import Document

_MOST_BYTES: Final = 16 << 20
"""Of their encoded form; decoded they take about four times as much."""
_MOST: Final = 1000


class _Kept(NamedTuple):
    token: str
    document: Document
    size: int


class KeptDocuments:
    """The documents that were used last, by scene and by the token of their content."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    def find(self, scene: str, token: str | None) -> Document | None:
        """Returns the cached document of a scene with this token, or None. It must not be changed."""
        kept = self._kept.get(scene)
        if kept is None or kept.token != token:
            return None
        self._kept.move_to_end(scene)
        return kept.document

    def keep(self, scene: str, token: str | None, document: Document, size: int) -> None:
        """Caches a document of `size` bytes, until others need the space."""
        if (before := self._kept.pop(scene, None)) is not None:
            self._size -= before.size
        if token is None:
            return
        self._kept[scene] = _Kept(token, document, size)
        self._size += size
        while self._size > _MOST_BYTES or len(self._kept) > _MOST:
            self._size -= self._kept.popitem(last=False)[1].size
