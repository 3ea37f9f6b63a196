"""The provider as the steps of jobs see it, with every call timed by its operation and what came of it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry

from evergreen_server.metrics.timed import TimedCalls
from evergreen_server.ports.metrics import error_kind
from evergreen_server.ports.provider import Account, Download, Provider, ProviderError, Read, Submission, Task
from evergreen_server.ports.specs import GenerationSpec, PreparedMedia


def provider_calls(registry: CollectorRegistry) -> TimedCalls:
    """Returns the calls of the provider; what is no error of the provider's is `INTERNAL`."""
    return TimedCalls(
        registry,
        name="evergreen_provider_seconds",
        of="provider",
        outcome=lambda exc: error_kind(exc) if isinstance(exc, ProviderError) else "INTERNAL",
    )


class MeteredProvider:
    """A provider whose calls are timed; implements `ports.provider.Provider`."""

    def __init__(self, provider: Provider, calls: TimedCalls) -> None:
        self._provider = provider
        self._calls = calls

    async def create(
        self, spec: GenerationSpec, media: Sequence[PreparedMedia], *, before_send: Callable[[], None]
    ) -> Submission:
        return await self._calls.timed("create", self._provider.create(spec, media, before_send=before_send))

    async def task(self, task_id: str) -> Task:
        return await self._calls.timed("task", self._provider.task(task_id))

    async def delete(self, task_id: str) -> bool:
        return await self._calls.timed("delete", self._provider.delete(task_id))

    async def upload(self, filename: str, content_type: str, size: int, read: Read) -> str:
        return await self._calls.timed("upload", self._provider.upload(filename, content_type, size, read))

    @asynccontextmanager
    async def download(self, url: str, *, offset: int = 0) -> AsyncIterator[Download]:
        """Times the opening alone: how long a body takes depends on what it is written to."""
        async with AsyncExitStack() as stack:
            with self._calls.of("download"):
                download = await stack.enter_async_context(self._provider.download(url, offset=offset))
            yield download

    async def account(self) -> Account:
        return await self._calls.timed("account", self._provider.account())
