"""Signs a rendered film with what it shows as ingredients, where it can; no fault of the signer costs the film."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from evergreen_server.film.assembling.store import Export
from evergreen_server.film.model import FilmWarning
from evergreen_server.ports.signing import FilmSigner, Ingredient, SignOrder, SignRefused
from evergreen_server.ports.timeline import Timeline

__all__ = ["signed"]

logger = logging.getLogger(__name__)


async def signed(
    signer: FilmSigner, export: Export, film: Path, *, timeline: Timeline, files: Mapping[str, Path]
) -> tuple[Export, Path]:
    """Returns an export and its file, signed; or as they are, with a warning. `files` are by SHA-256."""
    shown = dict.fromkeys(span.source for span in timeline.spans if span.source is not None)
    order = SignOrder(
        film=film,
        out=film.with_name("signed.mp4"),
        title=export.asset.rpartition("/")[2],
        ingredients=[
            Ingredient(title=f"{source.scene_id}/{source.asset}", path=files[source.sha256]) for source in shown
        ],
    )
    try:
        made = await signer.sign(order)
    except SignRefused as exc:
        logger.warning("film not signed", extra={"export": export.asset})
        warning = FilmWarning(code="NOT_SIGNED", message=f"{export.asset} is not signed: {exc}")
        return replace(export, warnings=(*export.warnings, warning)), film
    return replace(export, claim=made.claim, sha256=made.sha256, size_bytes=made.size_bytes), order.out
