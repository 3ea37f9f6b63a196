"""Sums of chunks that are shown in place are those of the same bytes alone."""

import os

import google_crc32c
import pytest

from evergreen_storage.checksums import extend_crc32c, tail_of


@pytest.mark.parametrize("start", [0, 1, 2, 4, 5, 11])
def test_a_tail_is_summed_as_its_bytes_are(start: int) -> None:
    messages = [os.urandom(start + length) for length in (0, 1, 7, 300, 65_536)]
    whole = b"".join(message[start:] for message in messages)

    crc32c = 0
    for message in messages:
        crc32c = extend_crc32c(crc32c, tail_of(message, start))

    assert crc32c == google_crc32c.value(whole)
    assert extend_crc32c(crc32c, b"more") == google_crc32c.value(whole + b"more")
