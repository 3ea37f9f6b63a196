"""The end of a run: from its outputs to its exports, while somebody looks whether it is still to go on."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from evergreen_server.film.assembling.assembler import Assembled, Assembler
from evergreen_server.film.assembling.material import Claim, CutRefused, Material
from evergreen_server.film.composing.compose import Files
from evergreen_server.film.cut.cutting import Used
from evergreen_server.film.model import OnShotFailure, OutputKind, Plan, output_key
from evergreen_server.film.models import FilmModels
from evergreen_server.film.runs.context import FilmContext
from evergreen_server.film.runs.deciding import instead
from evergreen_server.film.runs.looking import Look
from evergreen_server.film.runs.rows import FilmOutput
from evergreen_server.film.runs.run import FilmRun, RunKind, RunState, RunTrouble
from evergreen_server.film.statuses import Status
from evergreen_server.jobs.model.job import JobFailure
from evergreen_server.jobs.store.project_lock import SceneBusy
from evergreen_server.ports.timeline import Source

__all__ = ["finish", "material_of"]

T = TypeVar("T")

_UNUSABLE: Final = "CLIP_UNSUPPORTED"
"""Of a file that is refused whenever it is tried."""

TELL_SECONDS: Final = 5.0
"""The shortest between two records of how far a film is rendered."""


def material_of(
    run: FilmRun,
    plan: Plan,
    models: FilmModels,
    statuses: Mapping[str, Status],
    *,
    seen: Look,
    outputs: Sequence[FilmOutput],
    files: Files,
) -> Material:
    """Returns what the film of a run is made of: the files that stand for its outputs, and those of the caller."""
    rows = {(output.key, output.source): output for output in outputs if output.source is not None}
    music = None
    if asset := plan.settings.music:
        place = plan.film_id, asset
        music = Used(source=Source(scene_id=plan.film_id, asset=asset, sha256=files.get(place, "")))
    return Material(
        plan=plan,
        plan_revision=run.plan_revision,
        models=models,
        statuses=statuses,
        used={key: _used(source, rows.get((key, source))) for key, source in seen.sources.items()},
        bases={key: rows[key, source].basis for key, source in seen.sources.items() if (key, source) in rows},
        # The older file of one that is there is not known: it is the newest that stands for it.
        instead=instead([item for item in seen.items if item.on_failure is not OnShotFailure.LAST_GOOD], statuses),
        measured=seen.measured,
        music=music,
        profiles=run.terms.profiles,
    )


def _used(source: Source, row: FilmOutput | None) -> Used:
    if row is None:
        return Used(source=source)
    return Used(
        source=source,
        seconds=row.seconds,
        digest=row.digest,
        take=row.take,
        job_id=row.job_id,
        millicredits=row.millicredits or 0,
    )


async def finish(context: FilmContext, run: FilmRun, material: Material) -> FilmRun:
    """Renders the exports of a run, or publishes them once they are; returns the run as it is then.

    It may have been ended meanwhile, and then nothing of it goes on. Raises FileLost, Superseded, and what may pass.
    """
    assert context.assembler is not None, "no run holds a slot where nothing is rendered"
    done = await _Finishing(context, context.assembler, run).go(material)
    # What comes next has nothing to wait for.
    context.wakeups.wake(run.key)
    return done


class _Finishing:
    def __init__(self, context: FilmContext, assembler: Assembler, run: FilmRun) -> None:
        self._context, self._assembler, self._run = context, assembler, run
        self._frames = run.frames_done, run.frames

    async def go(self, material: Material) -> FilmRun:
        run = self._run
        claim = Claim(project_id=run.project_id, film_id=run.film_id, run=run.run, leg=run.leg, execution=run.execution)
        try:
            if run.exports:
                done = await self._attended(self._assembler.publish(claim, material, run.exports))
                if done is not None:
                    await self._change(published=done, exports=run.exports if done else ())
            else:
                made = await self._render(claim, material)
                if made is not None:
                    self._run = await self._context.runs.change(self._run, lambda run: run.warned(made.warnings))
                    exports = tuple(export.digest for export in made.exports)
                    await self._change(exports=exports, frames=self._frames[1], frames_done=self._frames[1])
        except CutRefused as exc:
            await self._ask(exc, material)
        except SceneBusy as exc:
            cause = str(exc)
            await self._edit(lambda run: run.waits("SCENE_BUSY", cause))
        return self._run

    async def _render(self, claim: Claim, material: Material) -> Assembled | None:
        """Renders the film, with what stands in by its policy for each file that cannot be used."""
        while True:
            try:
                return await self._attended(self._assembler.render(claim, material, self._progress))
            except CutRefused as exc:
                key = _at_fault(exc, material)
                status = material.instead.get(key)
                # What stands in may be refused as well.
                if exc.code != _UNUSABLE or status is None or material.statuses[key] is status:
                    raise
                material = replace(material, statuses={**material.statuses, key: status})

    async def _attended(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Does the work for as long as the run is to go on; returns None once it is not."""
        wakeup = self._context.wakeups.of(self._run.key)
        task = asyncio.create_task(work, name="film assembled")
        task.add_done_callback(lambda _: wakeup.set())
        try:
            while not task.done():
                await wakeup.wait(TELL_SECONDS)
                if not task.done() and not await self._goes_on():
                    return None
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                # Whatever it raised after it was no longer wanted is of no interest.
                task.exception()

    async def _goes_on(self) -> bool:
        """Records how far it is, and returns whether it goes on: nobody has ended the run, and it has time."""
        await self._change(frames_done=self._frames[0], frames=self._frames[1])
        run = self._run
        return run.state is RunState.RUNNING and not (run.finish_by and self._context.clock() >= run.finish_by)

    def _progress(self, done: int, total: int) -> None:
        self._frames = done, total

    async def _change(self, **values: Any) -> None:
        await self._edit(partial(replace, **values))

    async def _ask(self, refused: CutRefused, material: Material) -> None:
        """Has somebody decide about what cannot be rendered; the same would be refused again."""
        if refused.item_id:
            key = _at_fault(refused, material)
            used = material.used.get(key)
            trouble = RunTrouble(
                item_id=refused.item_id,
                output=key.rpartition("/")[2],
                job_id=used.job_id if used else "",
                reason=refused.code,
                message=f"{refused}; {self._advice(refused)}",
                sha256=used.source.sha256 if used and refused.code == _UNUSABLE else "",
            )
            await self._edit(lambda run: run.asks((trouble,)))
        else:
            failure = JobFailure(reason=refused.code, message=str(refused))
            await self._edit(lambda run: run.asks((), failure))

    def _advice(self, refused: CutRefused) -> str:
        if refused.code != _UNUSABLE:
            return "an approval tries it once more, with the same file unless an edit says otherwise"
        if self._run.kind is RunKind.EXPORT:
            return "put another file in its place by the edit use_asset and approve then, or cancel and redo it"
        return "have it made anew by the edit redo, or put another file in its place by use_asset, and approve then"

    async def _edit(self, edit: Callable[[FilmRun], FilmRun]) -> None:
        """Changes the run unless it is not on any more."""
        self._run = await self._context.runs.change(
            self._run, lambda run: edit(run) if run.state is RunState.RUNNING else run
        )


def _at_fault(refused: CutRefused, material: Material) -> str:
    """Returns the key of the output for whose file a cut was refused; of none if that is not known."""
    spoken = any(line.line_id == refused.item_id for _, line in material.plan.lines())
    return output_key(refused.item_id, OutputKind.SPEECH if spoken else OutputKind.CLIP)
