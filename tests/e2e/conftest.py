"""What the tests with real processes share."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

SomeMoments = Callable[[Iterable[T], str], Sequence[T]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-moment", action="store_true", help="kill at every moment on each database, not at some")


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> "SomeMoments[T]":
    """Which of the moments at which a server may die are tried: each third on PostgreSQL, and the others on SQLite.

    What is done between two moments is the same on both; `make e2e` tries all on both.
    """
    every = request.config.getoption("--every-moment", default=False)

    def some(named: Iterable[T], database: str) -> Sequence[T]:
        return [one for place, one in enumerate(named) if every or (place % 3 == 1) is (database != "sqlite")]

    return some
