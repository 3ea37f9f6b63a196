"""Checksums of bodies: a CRC32C, chunk by chunk, and a digest that names a content."""

import hashlib

import google_crc32c


def is_slow() -> bool:
    """Returns whether checksums are computed in pure Python, since the library has no build for this system."""
    return google_crc32c.implementation == "python"


def extend_crc32c(crc32c: int, data: bytes) -> int:
    """Returns a running CRC32C, which starts at 0, extended by a chunk."""
    return int(google_crc32c.extend(crc32c, data))


def token_of(data: bytes) -> str:
    """Returns the token of a content: its digest, since times and inode numbers recur after a quick rewrite."""
    return hashlib.sha256(data).hexdigest()
