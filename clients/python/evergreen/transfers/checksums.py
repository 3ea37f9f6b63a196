"""CRC32C of transferred bytes."""

import google_crc32c


class Checksum:
    """A running CRC32C."""

    def __init__(self) -> None:
        self.value = 0

    def extend(self, data: bytes) -> None:
        """Adds the next bytes."""
        self.value = google_crc32c.extend(self.value, data)
