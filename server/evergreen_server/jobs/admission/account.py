"""The provider's account, which any number of callers may ask for at the cost of one request at a time."""

import asyncio
from typing import Final

from evergreen_server.ports.provider import Account, Provider, ProviderUnavailable
from evergreen_server.runtime.shield import ProtectedTasks

SECONDS: Final = 8.0
"""How long a caller waits for the provider; what it answers later is for those who ask meanwhile."""


class AccountReader:
    """Asks the provider. Without a bound, one caller could make it refuse our key's polls and creates too."""

    def __init__(self, *, provider: Provider, shield: ProtectedTasks, seconds: float = SECONDS) -> None:
        self._provider = provider
        self._shield = shield
        self._seconds = seconds
        self._question: asyncio.Task[Account] | None = None

    async def read(self) -> Account:
        """Returns the provider's account; calls that come meanwhile share the answer.

        Raises ProviderError, within `seconds` also where the provider is silent.
        """
        if self._question is None or self._question.done():
            asking = self._shield.run(self._provider.account(), name="account")
            self._question = asyncio.create_task(asking, name="account asked")
            self._question.add_done_callback(_retrieve)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(self._question)
        except TimeoutError:
            raise ProviderUnavailable(f"the provider has not answered within {self._seconds:g} s") from None


def _retrieve(question: "asyncio.Task[Account]") -> None:
    # So that no error is reported as unretrieved if all callers have gone.
    if not question.cancelled():
        question.exception()
