"""A product: what a request makes, and what the renderer gets of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.rendering.job import Form
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.state.tasks import Source

__all__ = ["SECONDS_MOST", "Product", "source_of"]

SECONDS_MOST = 3600.0
"""No output is longer, whatever is asked where no bound is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Sizes in pixels, 0 for sounds; `seconds` is 0 for pictures; `making` holds members of the renderer's `Job`."""

    form: Form
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    sound: bool = False
    outputs: int = 1
    source: Source | None = None
    references: tuple[Source, ...] = ()
    making: Mapping[str, Json] = field(default_factory=dict)


def source_of(asset: Asset | None) -> Source | None:
    return None if asset is None else Source(digest=asset.digest, kind=asset.kind)
