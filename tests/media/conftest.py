from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from tests.media.web import Names, Web

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture
def samples() -> Path:
    return SAMPLES


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with Web() as web:
        yield web


@pytest.fixture
def names() -> Names:
    """`pictures.internal` is the host that the operator allows; each test adds what else it needs."""
    names = Names()
    names.add("pictures.internal", ["127.0.0.1"])
    return names


@pytest.fixture
def limits(web: Web) -> MediaLimits:
    """The defaults, but for the port, which would otherwise be refused before the address is looked at."""
    return MediaLimits(ports=frozenset({80, 443, web.port}))


@pytest.fixture
async def media(limits: MediaLimits, names: Names, tmp_path: Path) -> AsyncIterator[Media]:
    async with Media(
        private_hosts=frozenset({"pictures.internal"}), limits=limits, resolver=names, temp_dir=tmp_path
    ) as media:
        yield media
