"""Makes the exports of runs, as many at a time as it is asked for.

Each step may be repeated after a crash: an export is found again by the digest of what it is made from, and counts once
its file has the size and the checksum that were recorded before it got its name.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from evergreen_server.film.assembling.files import LocalFiles, local_files
from evergreen_server.film.assembling.index import NAME, index_of
from evergreen_server.film.assembling.material import Claim, CutRefused, Material
from evergreen_server.film.assembling.preparing import Prepared, prepare
from evergreen_server.film.assembling.publishing import publish
from evergreen_server.film.assembling.signing import signed
from evergreen_server.film.assembling.store import Export, ExportStore
from evergreen_server.film.cut.exports import export_asset
from evergreen_server.film.model import FilmWarning
from evergreen_server.jobs.model.names import choices
from evergreen_server.ports.media import MediaTools
from evergreen_server.ports.metrics import Metrics
from evergreen_server.ports.rendering import FilmRenderer, RenderOrder, RenderProgress, RenderRefused
from evergreen_server.ports.signing import FilmSigner
from evergreen_server.runtime.threads import OwnThreads
from evergreen_server.scenes.writers import SceneWriters
from evergreen_storage import AssetConflict, SceneStore

__all__ = ["Assembled", "Assembler", "Progress"]

MOST_BYTES: Final = 40 * 1024**3
"""What the files of one film may take of the disk, beside the film itself."""
_MOST_PREPARED: Final = 8
"""Films that were rendered and are not published yet whose cuts are remembered."""
_CHUNK_BYTES: Final = 1024 * 1024
_SPAN: Final = re.compile(r"span (\d+)(?=:)")

Progress = Callable[[int, int], None]
"""Takes how many frames are there, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    exports: tuple[Export, ...]
    """In the order of the profiles."""
    warnings: tuple[FilmWarning, ...]


class Assembler:
    """Made for one event loop. `work` and `cache` must exist; `version` names what renders.

    `work` is for the files of films, which are removed once these are made; in `cache` the renderer keeps its segments.
    With a `signer` exports are signed; one that could not be is there unsigned, and is made again when it is asked for.
    """

    def __init__(
        self,
        *,
        scenes: SceneStore,
        writers: SceneWriters,
        exports: ExportStore,
        tools: MediaTools,
        renderer: FilmRenderer,
        version: str,
        threads: OwnThreads,
        work: Path,
        cache: Path,
        caption_font: str = "",
        signer: FilmSigner | None = None,
        metrics: Metrics,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._scenes = scenes
        self._writers = writers
        self._exports = exports
        self._tools = tools
        self._renderer = renderer
        self._version = version
        self._threads = threads
        self._work = work
        self._cache = cache
        self._caption_font = caption_font
        self._signer = signer
        self._metrics = metrics
        self._most_bytes = most_bytes
        self._prepared: dict[Claim, tuple[Prepared, ...]] = {}
        """What was rendered last and is published next."""

    async def render(self, claim: Claim, material: Material, progress: Progress) -> Assembled:
        """Renders the film for each profile into its scene, but for those that are there; a cancelled call stops.

        Raises FileLost, CutRefused, Superseded, and SceneBusy, StorageError, MediaUnreachable and OSError, which may
        pass.
        """
        async with (
            self._opened(claim.project_id) as files,
            # Before any work is spent on a scene that is being deleted, and until there is nothing more to lose.
            self._writers.hold(claim.project_id, claim.film_id),
        ):
            prepared = await self._prepare(claim, material, files)
            self._remember(claim, prepared)
            known = await self._exports.find(claim.project_id, claim.film_id, [each.digest for each in prepared])
            total = sum(each.cut.timeline.frames for each in prepared)
            done, exports, warnings = 0, list[Export](), dict[FilmWarning, None]()
            for each in prepared:
                progress(done, total)
                export = known.get(each.digest)
                unsigned = self._signer is not None and export is not None and not export.claim
                if export is None or unsigned or not await self._is_there(claim, export):
                    tell = partial(_tell, progress, done, total)
                    export = await self._render(claim, material, each, files, tell)
                else:
                    self._metrics.film_exported("REUSED")
                exports.append(export)
                warnings |= dict.fromkeys((*each.cut.warnings, *export.warnings))
                done += each.cut.timeline.frames
            progress(done, total)
            return Assembled(exports=tuple(exports), warnings=tuple(warnings))

    async def publish(self, claim: Claim, material: Material, digests: Sequence[str]) -> bool:
        """Puts what lies beside the exports there; returns False if they must be rendered again.

        Raises as `render` does.
        """
        known = await self._exports.find(claim.project_id, claim.film_id, digests)
        prepared = await self._again(claim, material)
        if [each.digest for each in prepared] != list(digests) or set(known) != set(digests):
            return False
        exports = [known[digest] for digest in digests]
        async with self._writers.hold(claim.project_id, claim.film_id):
            for each, export in zip(prepared, exports, strict=True):
                if not export.published:
                    if not await publish(self._scenes, self._threads, claim, material, each, export):
                        return False
                    await self._exports.publish(claim, export.digest)
            every = await self._exports.every(claim.project_id, claim.film_id, digests)
            index = await self._threads.run(partial(index_of, claim, material, every), owner=claim.project_id)
            await self._scenes.keep_document(claim.project_id, claim.film_id, NAME, index, "application/json")
        return True

    async def _again(self, claim: Claim, material: Material) -> tuple[Prepared, ...]:
        """Returns what was rendered, made anew after a restart."""
        if (kept := self._prepared.pop(claim, None)) is not None:
            return kept
        async with self._opened(claim.project_id) as files:
            return await self._prepare(claim, material, files)

    def _remember(self, claim: Claim, prepared: tuple[Prepared, ...]) -> None:
        self._prepared[claim] = prepared
        if len(self._prepared) > _MOST_PREPARED:
            # The oldest, whose run was most likely ended.
            del self._prepared[next(iter(self._prepared))]

    async def _prepare(self, claim: Claim, material: Material, files: LocalFiles) -> tuple[Prepared, ...]:
        owner, renderer = claim.project_id, self._version
        return await prepare(material, files, self._tools, self._threads, project_id=owner, renderer=renderer)

    async def _is_there(self, claim: Claim, export: Export) -> bool:
        """Returns whether the file of an export is the one that was recorded, by reading it through."""
        found = await self._scenes.adopt(
            claim.project_id, claim.film_id, export.asset, size_bytes=export.size_bytes, crc32c=export.crc32c
        )
        return found is not None

    async def _render(
        self,
        claim: Claim,
        material: Material,
        each: Prepared,
        files: LocalFiles,
        tell: Callable[[RenderProgress], None],
    ) -> Export:
        timeline = each.cut.timeline
        spans = (span.source for span in timeline.spans if span.source is not None)
        sounds = (sound.source for sound in timeline.sounds)
        out = files.folder / "film.mp4"
        order = RenderOrder(
            timeline=timeline,
            profile=each.profile,
            files=await files.paths(chain(spans, sounds)),
            out=out,
            cache=self._cache,
            scratch=files.folder,
            caption_font=self._caption_font,
        )
        self._metrics.render_began()
        try:
            made = await self._renderer.render(order, tell)
        except RenderRefused as exc:
            self._metrics.film_exported("REFUSED")
            raise CutRefused(str(exc), code=exc.code, item_id=_at_fault(each, exc)) from exc
        finally:
            self._metrics.render_ended()
        export = Export(
            digest=each.digest,
            profile=each.profile.name,
            run=claim.run,
            plan_revision=material.plan_revision,
            asset=export_asset(claim.film_id, run=claim.run, profile=each.profile.name, digest=each.digest),
            sha256=made.sha256,
            size_bytes=made.size_bytes,
            crc32c=0,
            width=each.profile.width,
            height=each.profile.height,
            frames=made.frames,
            seconds=made.seconds,
            loudness_lufs=made.lufs,
            true_peak_dbtp=made.peak_dbtp,
            copied=made.copied,
            warnings=tuple(_warning(text, each) for text in made.warnings),
        )
        if self._signer is not None:
            export, out = await signed(self._signer, export, out, timeline=timeline, files=order.files)
        kept = await self._keep(claim, export, out)
        self._metrics.film_exported("UNSIGNED" if self._signer is not None and not kept.claim else "RENDERED")
        return kept

    async def _keep(self, claim: Claim, export: Export, path: Path) -> Export:
        """Puts a film into its scene, under the next name where the first is another file's."""
        await self._scenes.create(claim.project_id, claim.film_id)
        for asset in choices(export.asset):
            named = replace(export, asset=asset)
            if asset != export.asset:
                text = f"{export.asset} is another file's name; the film is {asset}"
                named = replace(named, warnings=(*export.warnings, FilmWarning(code="NAME_TAKEN", message=text)))

            async def seal(size: int, crc32c: int, named: Export = named) -> None:
                # Before the file has its name: so nobody takes another file of that name for it.
                await self._exports.record(claim, replace(named, size_bytes=size, crc32c=crc32c))

            chunks = self._chunks(path, claim.project_id)
            try:
                stored = await self._scenes.add_stream(
                    claim.project_id, claim.film_id, asset, chunks, export.size_bytes, "video/mp4", sealed=seal
                )
            except AssetConflict:
                continue
            finally:
                await chunks.aclose()
            found = replace(named, crc32c=stored.crc32c)
            # One that was there already was not sealed.
            await self._exports.record(claim, found)
            return found
        raise CutRefused(f"every name for {export.asset} is another file's", code="RENDER_FAILED")

    async def _chunks(self, path: Path, owner: str) -> AsyncGenerator[bytes, None]:
        at = 0
        while chunk := await self._threads.run(partial(_read, path, at), owner=owner):
            yield chunk
            at += len(chunk)

    @asynccontextmanager
    async def _opened(self, project_id: str) -> AsyncIterator[LocalFiles]:
        """Gives a film a folder for as long as the context lasts."""
        async with local_files(
            scenes=self._scenes,
            threads=self._threads,
            project_id=project_id,
            work=self._work,
            most_bytes=self._most_bytes,
        ) as files:
            yield files


def _tell(progress: Progress, before: int, total: int, now: RenderProgress) -> None:
    progress(before + now.done, total)


def _at_fault(each: Prepared, refused: RenderRefused) -> str:
    """Returns the shot or line whose file was refused; empty for music, or if nobody knows."""
    for index, items in ((refused.span, each.cut.shots), (refused.sound, each.cut.items)):
        if index is not None and 0 <= index < len(items):
            return items[index]
    return ""


def _warning(text: str, each: Prepared) -> FilmWarning:
    """Returns a warning of the renderer, which knows spans, with the shot in place of the span."""
    code, _, message = text.partition(": ")
    if (span := _SPAN.match(message)) and int(span[1]) < len(each.cut.shots):
        message = each.cut.shots[int(span[1])] + message[span.end() :]
    return FilmWarning(code=code, message=message)


def _read(path: Path, at: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(_CHUNK_BYTES)
