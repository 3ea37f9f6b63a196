"""The provider's account, which any number of callers may ask for at the cost of one request at a time."""

import asyncio

from evergreen_server.ports.provider import Account, Provider
from evergreen_server.runtime.shield import ProtectedTasks


class AccountReader:
    """Asks the provider. Without a bound, one caller could make it refuse our key's polls and creates too."""

    def __init__(self, *, provider: Provider, shield: ProtectedTasks) -> None:
        self._provider = provider
        self._shield = shield
        self._question: asyncio.Task[Account] | None = None

    async def read(self) -> Account:
        """Returns the provider's account; calls that come meanwhile share the answer. Raises ProviderError."""
        if self._question is None or self._question.done():
            asking = self._shield.run(self._provider.account(), name="account")
            self._question = asyncio.create_task(asking, name="account asked")
            self._question.add_done_callback(_retrieve)
        return await asyncio.shield(self._question)


def _retrieve(question: "asyncio.Task[Account]") -> None:
    # So that no error is reported as unretrieved if all callers have gone.
    if not question.cancelled():
        question.exception()
