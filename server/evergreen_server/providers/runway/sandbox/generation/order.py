"""What is to be generated, as far as its price depends on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.generation.asked import model_of, outputs_of
from evergreen_server.providers.runway.sandbox.generation.assets import Asset

__all__ = ["Order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The request, its measured media, and the length of what it makes."""

    operation: str
    body: Mapping[str, Json]
    media: Sequence[Asset]
    seconds: float

    @property
    def model(self) -> str:
        return model_of(self.operation, self.body)

    @property
    def outputs(self) -> int:
        return outputs_of(self.operation, self.body)
