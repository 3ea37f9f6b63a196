"""The provider's account, which any number of callers may ask for at the cost of one question at a time."""

import asyncio

from evergreen_server.ports.provider import Account, Provider
from evergreen_server.runtime.shield import ProtectedTasks


class AccountReader:
    """Asks the provider, whom a caller without end would else have refuse our key's polls and creates too."""

    def __init__(self, *, provider: Provider, shield: ProtectedTasks) -> None:
        self._provider = provider
        self._shield = shield
        self._question: asyncio.Task[Account] | None = None

    async def read(self) -> Account:
        """Returns what the provider tells; who comes while it is asked shares its answer. Raises ProviderError."""
        if self._question is None or self._question.done():
            asking = self._shield.run(self._provider.account(), name="account")
            self._question = asyncio.create_task(asking, name="account asked")
            self._question.add_done_callback(_heard)
        return await asyncio.shield(self._question)


def _heard(question: "asyncio.Task[Account]") -> None:
    # Also where everybody who had asked has gone.
    if not question.cancelled():
        question.exception()
