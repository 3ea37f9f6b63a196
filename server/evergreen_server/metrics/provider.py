"""The provider as the steps of jobs see it, with every call timed by its operation and what came of it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

from prometheus_client import CollectorRegistry, Histogram

from evergreen_server.metrics.buckets import CALLS
from evergreen_server.ports.metrics import error_kind
from evergreen_server.ports.provider import Account, Download, Provider, ProviderError, Read, Submission, Task
from evergreen_server.ports.specs import GenerationSpec, PreparedMedia

T = TypeVar("T")


class ProviderMetrics:
    """Calls of the provider."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "evergreen_provider_seconds",
            "Seconds that calls of the provider took, by operation and outcome.",
            ["operation", "outcome"],
            buckets=CALLS,
            registry=registry,
        )

    @contextmanager
    def of(self, operation: str) -> Iterator[None]:
        """Times a call."""
        began, outcome = time.monotonic(), "CANCELLED"
        try:
            yield
            outcome = "OK"
        except ProviderError as exc:
            outcome = error_kind(exc)
            raise
        except Exception:
            outcome = "INTERNAL"
            raise
        finally:
            self._seconds.labels(operation, outcome).observe(time.monotonic() - began)


class MeteredProvider:
    """A provider whose calls are timed; implements `ports.provider.Provider`."""

    def __init__(self, provider: Provider, metrics: ProviderMetrics) -> None:
        self._provider = provider
        self._metrics = metrics

    async def create(
        self, spec: GenerationSpec, media: Sequence[PreparedMedia], *, before_send: Callable[[], None]
    ) -> Submission:
        return await self._timed("create", self._provider.create(spec, media, before_send=before_send))

    async def task(self, task_id: str) -> Task:
        return await self._timed("task", self._provider.task(task_id))

    async def delete(self, task_id: str) -> bool:
        return await self._timed("delete", self._provider.delete(task_id))

    async def upload(self, filename: str, content_type: str, size: int, read: Read) -> str:
        return await self._timed("upload", self._provider.upload(filename, content_type, size, read))

    @asynccontextmanager
    async def download(self, url: str, *, offset: int = 0) -> AsyncIterator[Download]:
        """Times the opening alone: how long a body takes depends on what it is written to."""
        async with AsyncExitStack() as stack:
            with self._metrics.of("download"):
                download = await stack.enter_async_context(self._provider.download(url, offset=offset))
            yield download

    async def account(self) -> Account:
        return await self._timed("account", self._provider.account())

    async def _timed(self, operation: str, call: Awaitable[T]) -> T:
        with self._metrics.of(operation):
            return await call
