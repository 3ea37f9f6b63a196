"""CRC32C of bodies, chunk by chunk, and chunks that are handed on without being copied out of their message."""

from functools import cache
from typing import Final, NewType, TypeAlias, cast

import google_crc32c

Tail = NewType("Tail", memoryview)
"""What follows a short header in bytes, seen in place."""

Chunk: TypeAlias = bytes | Tail

_ONES: Final = 0xFFFFFFFF


def is_slow() -> bool:
    """Tells whether checksums are computed by Python alone, for want of the library's build for this system."""
    return google_crc32c.implementation == "python"


def tail_of(data: bytes, start: int) -> Tail:
    """Shows what follows the first `start` bytes."""
    return Tail(memoryview(data)[start:])


def extend_crc32c(crc32c: int, data: Chunk) -> int:
    """Extends a running CRC32C, which starts at 0, by a chunk."""
    if isinstance(data, bytes):
        return int(google_crc32c.extend(crc32c, data))
    # The library takes whole bytes alone: so the header goes in too, from the state that it leads to this one from.
    whole = cast(bytes, data.obj)
    return int(google_crc32c.extend(_rewound(crc32c, whole[: len(whole) - len(data)]), whole))


def _rewound(crc32c: int, header: bytes) -> int:
    """Finds the CRC32C whose extension by a header is this one."""
    table, by_top = _tables()
    state = crc32c ^ _ONES
    for byte in reversed(header):
        index = by_top[state >> 24]
        state = ((state ^ table[index]) << 8 & _ONES) | (index ^ byte)
    return state ^ _ONES


@cache
def _tables() -> tuple[tuple[int, ...], dict[int, int]]:
    """Gives what each byte does to the state of zeros, and which byte it was by the topmost eight bits of that."""
    table = tuple(int(google_crc32c.extend(_ONES, bytes([byte]))) ^ _ONES for byte in range(256))
    return table, {state >> 24: byte for byte, state in enumerate(table)}
