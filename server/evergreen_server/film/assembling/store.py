"""Exports in their rows: what lies in a film's scene, so that the same cut is found again and never rendered twice."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from evergreen_server.film.assembling.material import Claim
from evergreen_server.film.model import FilmWarning
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_exports, film_runs
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.store.project_lock import lock_project

__all__ = ["Export", "ExportStore", "exports_in"]

MOST_LISTED: Final = 200
MOST_KEPT: Final = 500
"""Exports of a film that are known, the newest; files of older ones stay, and the same cut is rendered once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One export of a film, with what was measured of it."""

    digest: str
    """Of what it was made from (see `export_digest`)."""
    profile: str
    run: int
    """That rendered it; later ones have adopted it."""
    plan_revision: int
    asset: str
    """In the film's own scene."""
    sha256: str
    size_bytes: int
    crc32c: int
    width: int
    height: int
    frames: int
    seconds: float
    loudness_lufs: float | None
    """None where it is silent, like the peak."""
    true_peak_dbtp: float | None
    copied: bool
    """The picture was not encoded again."""
    claim: str = ""
    """The label of its C2PA manifest; empty where it is not signed."""
    warnings: tuple[FilmWarning, ...] = ()
    """Of the renderer."""
    published: bool = False
    """All that lies beside it is there, too."""


class ExportStore:
    """Reads and writes the exports of films. Each method is one snapshot or one transaction."""

    def __init__(self, *, database: Database, clock: Callable[[], datetime], most_kept: int = MOST_KEPT) -> None:
        self._database = database
        self._clock = clock
        self._most_kept = most_kept

    async def find(self, project_id: str, film_id: str, digests: Collection[str]) -> dict[str, Export]:
        """Returns those exports of a film that have these digests, by digest."""
        return await self._database.fetch(lambda db: exports_in(db, project_id, film_id, digests)) if digests else {}

    async def every(self, project_id: str, film_id: str, first: Sequence[str]) -> Sequence[Export]:
        """Returns the published exports of a film, at most 200: those of these digests first, then from the newest."""
        query = sa.select(film_exports).where(*_of(project_id, film_id), film_exports.c.published_at.is_not(None))
        query = query.order_by(film_exports.c.made_at.desc(), film_exports.c.digest).limit(MOST_LISTED)
        found = await self._database.fetch(lambda db: [_export(row) for row in db.execute(query).mappings()])
        places = {digest: place for place, digest in enumerate(first)}
        return sorted(found, key=lambda export: places.get(export.digest, len(places)))

    async def record(self, claim: Claim, export: Export) -> None:
        """Records an export, in place of an earlier one of its digest, and of the oldest of very many.

        Raises Superseded.
        """
        values = asdict(export)
        del values["published"]
        row = {**values, "made_at": to_micros(self._clock()), "published_at": None}
        mine, digest = _of(claim.project_id, claim.film_id), film_exports.c.digest
        newest = sa.select(digest).where(*mine).order_by(film_exports.c.made_at.desc(), digest)

        def work(db: sa.Connection) -> None:
            self._fence(db, claim)
            db.execute(film_exports.delete().where(*mine, digest == export.digest))
            db.execute(film_exports.insert().values(project_id=claim.project_id, film_id=claim.film_id, **row))
            old = db.execute(newest.offset(self._most_kept)).scalars().all()
            if old:
                db.execute(film_exports.delete().where(*mine, digest.in_(old)))

        await self._database.write(work, project_id=claim.project_id)

    async def publish(self, claim: Claim, digest: str) -> None:
        """Records that all of an export is there. Raises Superseded."""
        one = (*_of(claim.project_id, claim.film_id), film_exports.c.digest == digest)
        values = {"published_at": to_micros(self._clock())}

        def work(db: sa.Connection) -> None:
            self._fence(db, claim)
            db.execute(film_exports.update().where(*one).values(values))

        await self._database.write(work, project_id=claim.project_id)

    def _fence(self, db: sa.Connection, claim: Claim) -> None:
        lock_project(db, claim.project_id, self._clock())
        owner = sa.select(film_runs.c.leg, film_runs.c.execution).where(
            film_runs.c.project_id == claim.project_id,
            film_runs.c.film_id == claim.film_id,
            film_runs.c.run == claim.run,
        )
        if db.execute(owner).one_or_none() != (claim.leg, claim.execution):
            raise Superseded(f"{claim.project_id}/{claim.film_id}")


def exports_in(db: sa.Connection, project_id: str, film_id: str, digests: Collection[str]) -> dict[str, Export]:
    """Returns those exports of a film that have these digests, by digest."""
    some = film_exports.c.digest.in_(sorted(set(digests)))
    query = sa.select(film_exports).where(*_of(project_id, film_id), some)
    return {row["digest"]: _export(row) for row in db.execute(query).mappings()}


def _export(row: sa.RowMapping) -> Export:
    values = {name: row[name] for name in Export.__dataclass_fields__ if name not in ("warnings", "published")}
    warnings = tuple(FilmWarning(**warning) for warning in row["warnings"])
    return Export(**values, warnings=warnings, published=row["published_at"] is not None)


def _of(project_id: str, film_id: str) -> "tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]":
    return film_exports.c.project_id == project_id, film_exports.c.film_id == film_id
