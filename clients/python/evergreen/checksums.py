"""CRC32C of transferred bytes, if `google-crc32c` is installed; the minimal client works without it."""

from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast


class _Module(Protocol):
    def extend(self, crc: int, chunk: bytes) -> int: ...


class Checksum:
    """A running CRC32C. `value` is None if `google-crc32c` is not installed."""

    def __init__(self) -> None:
        found = find_spec("google_crc32c") is not None
        self._module = cast(_Module, import_module("google_crc32c")) if found else None
        self._value = 0

    def extend(self, data: bytes) -> None:
        if self._module is not None:
            self._value = self._module.extend(self._value, data)

    @property
    def value(self) -> int | None:
        return None if self._module is None else self._value
