"""CRC32C of bodies, chunk by chunk."""

import google_crc32c


def is_slow() -> bool:
    """Returns whether checksums are computed in pure Python, since the library has no build for this system."""
    return google_crc32c.implementation == "python"


def extend_crc32c(crc32c: int, data: bytes) -> int:
    """Returns a running CRC32C, which starts at 0, extended by a chunk."""
    return int(google_crc32c.extend(crc32c, data))
