"""One sandbox per test, with time standing still."""

from collections.abc import AsyncIterator

import pytest

from tests.providers.runway.sandbox.driver import Caller, opened


@pytest.fixture
async def runway() -> AsyncIterator[Caller]:
    async with opened() as caller:
        yield caller
