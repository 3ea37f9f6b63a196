"""Chunks of files as bytes on the wire: a message object would copy every byte twice more.

UploadAssetRequest and DownloadAssetResponse have the same field for them.
"""

from collections.abc import Iterator

CHUNK_BYTES = 512 * 1024

_TAG = 2 << 3 | 2
"""Of field 2, whose value has a length."""
_LONGEST_LENGTH = 10


def chunk_messages(block: bytes) -> Iterator[bytes]:
    """Yields a block as encoded DownloadAssetResponses."""
    view = memoryview(block)
    for start in range(0, len(view), CHUNK_BYTES):
        chunk = view[start : start + CHUNK_BYTES]
        yield b"".join((bytes([_TAG]), _varint(len(chunk)), chunk))


def chunk_of(data: bytes) -> memoryview | None:
    """Returns the chunk of an UploadAssetRequest that holds nothing else, plainly encoded; None for any other."""
    if not data or data[0] != _TAG:
        return None
    length = 0
    for place, byte in enumerate(data[1 : 1 + _LONGEST_LENGTH]):
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            start = place + 2
            return memoryview(data)[start:] if len(data) - start == length else None
    return None


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
