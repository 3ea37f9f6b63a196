"""What tests of the gateway alone need."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def path() -> Iterator[str]:
    """Where a server of a test's own may listen; short, as sockets want it."""
    with TemporaryDirectory(dir="/tmp") as folder:
        yield f"{folder}/grpc"
