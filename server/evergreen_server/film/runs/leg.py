"""One leg of a run: from an approval to the next question, or to its end. A step looks, and does what follows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from evergreen_server.film.assembling.material import FileLost
from evergreen_server.film.composing.compose import File, files_of
from evergreen_server.film.model import OutputKind, Plan
from evergreen_server.film.models import FilmModels, models_of
from evergreen_server.film.runs.accepting import NewChild, new_child
from evergreen_server.film.runs.context import FilmContext
from evergreen_server.film.runs.deciding import Child, Decision, FilmGate, FilmStage, Run, Then, decide
from evergreen_server.film.runs.finishing import finish, material_of
from evergreen_server.film.runs.looking import Look, Store, look, troubles_of, troubles_of_strays
from evergreen_server.film.runs.rows import FilmOutput
from evergreen_server.film.runs.run import EXPIRED, RENDERS, FilmRun, RunState
from evergreen_server.film.runs.store import Snapshot
from evergreen_server.film.runs.tally import tally
from evergreen_server.jobs.commands import cancel
from evergreen_server.jobs.execution.trouble import blocked_by
from evergreen_server.jobs.model.errors import JobNotFound, Superseded, WrongState
from evergreen_server.jobs.model.held import FilmCreditsExceeded
from evergreen_server.jobs.model.job import Job, JobFailure
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store.backlog import QueueFull
from evergreen_server.jobs.store.ledger import ProjectCreditsExceeded
from evergreen_server.jobs.store.project_lock import SceneBusy
from evergreen_server.ports.media import MediaRefused, MediaUnreachable
from evergreen_server.ports.timeline import Source
from evergreen_storage import StorageError

__all__ = ["Leg"]


class Leg:
    """Keeps between its steps only what can be read again."""

    def __init__(self, context: FilmContext, run: FilmRun, *, renders: bool = False) -> None:
        """`renders` is whether the run holds the slot that it needs to be rendered here."""
        self.run = run
        self.cutting = False
        """Whether its last step rendered or published, or was to."""
        self._renders = renders
        self._context = context
        self._plan: Plan | None = None
        self._models: FilmModels | None = None
        self._store: Store | None = None
        self._lost: set[File] = set()
        """Files that no longer had their content when the film was to be made from them."""
        self._frameless: dict[str, str] = {}
        """By the SHA-256 of clips, why none of their frames can be taken."""
        self._watched: set[str] = set()

    def close(self) -> None:
        """Waits for no more jobs."""
        for job_id in self._watched:
            self._context.films_of.pop(job_id, None)

    async def warn(self, code: str, cause: str) -> None:
        """Has the caller see what the run waits for. Raises Superseded."""
        self.run = await self._context.runs.change(self.run, lambda run: run.waits(code, cause))

    async def step(self) -> bool:
        """Looks once, and does what follows; returns whether the leg goes on. Raises Superseded, StorageError."""
        context = self._context
        snapshot = await context.runs.snapshot(self.run)
        if (snapshot.run.execution, snapshot.run.leg) != (self.run.execution, self.run.leg):
            raise Superseded(self.run.key)
        self.run = snapshot.run
        if self.run.ended or self.run.state is RunState.AWAITING_APPROVAL:
            return False
        expired = self.run.finish_by is not None and context.clock() >= self.run.finish_by
        if expired and self.run.state is not RunState.CANCELLING:
            await self._change(lambda run: run.cancelling(EXPIRED))
            return True
        plan, models = await self._planned()
        if await self._record(snapshot):
            # What came just now may be what others wait for.
            snapshot = await context.runs.snapshot(self.run)
        if self._store is None:
            files = [place for _, place in files_of(plan)]
            found = await context.surveyor.survey(self.run.project_id, files, snapshot.outputs)
            self._store = replace(found, gone=found.gone | self._lost)
        work = partial(
            look,
            self.run,
            plan,
            models,
            outputs=snapshot.outputs,
            jobs=snapshot.jobs,
            store=self._store,
            frameless=self._frameless,
        )
        seen = await context.threads.run(work, owner=self.run.project_id)
        self._watch(seen)
        terms = self.run.terms
        facts = Run(
            gates=terms.gates,
            passed=self.run.passed,
            stop_after=terms.stop_after,
            rendered=bool(self.run.exports),
            published=self.run.published,
            ending=self.run.state is RunState.CANCELLING,
        )
        return await self._act(decide(facts, seen.items), seen, snapshot)

    async def _planned(self) -> tuple[Plan, FilmModels]:
        if self._plan is None or self._models is None:
            run = self.run
            self._plan = await self._context.plans.plan(run.project_id, run.film_id, run.plan_revision)
            self._models = models_of(self._plan.settings, self._context.table)
        return self._plan, self._models

    async def _record(self, snapshot: Snapshot) -> bool:
        """Reads the files that jobs have made and records them; returns whether there were any."""
        some = False
        for output in snapshot.outputs:
            job = snapshot.jobs.get(output.job_id)
            if output.source is None and job is not None and job.state is State.SUCCEEDED:
                await self._context.runs.record(self.run, await self._made(output, job))
                some = True
        return some

    async def _made(self, output: FilmOutput, job: Job) -> FilmOutput:
        file, read = job.outputs[0], self._context.surveyor.sha256
        sha256 = await read(self.run.project_id, output.scene_id, file.path, crc32c=file.crc32c)
        # One that somebody has removed or changed meanwhile has no content: it was made, and is lost.
        return replace(
            output,
            source=Source(scene_id=output.scene_id, asset=file.path, sha256=sha256 or ""),
            size_bytes=file.size_bytes,
            seconds=file.duration_seconds or None,
            millicredits=job.charged_millicredits or 0,
        )

    def _watch(self, seen: Look) -> None:
        """Has changes of the jobs under way wake this leg."""
        now = {item.key for item in seen.items if item.child in (Child.OPEN, Child.ASKS)}
        under_way = {seen.jobs[key].job_id for key in now if key in seen.jobs}
        for job_id in self._watched - under_way:
            self._context.films_of.pop(job_id, None)
        self._context.films_of.update(dict.fromkeys(under_way, self.run.key))
        self._watched = under_way

    async def _act(self, decision: Decision, seen: Look, snapshot: Snapshot) -> bool:
        """Does what was decided; returns whether the leg goes on."""
        self.cutting = decision.then in (Then.RENDER, Then.PUBLISH)
        no_clips = self.run.terms.stop_after is FilmStage.STORYBOARD
        wanted = [item for item in seen.items if not (no_clips and item.kind is OutputKind.CLIP)]
        far = tally(wanted, decision.statuses, jobs=seen.jobs, made=seen.made)
        await self._change(lambda run: replace(run, stage=decision.stage, tally=far))
        strays = self._strays(seen, snapshot)
        for job in [seen.jobs[key] for key in decision.cancel] + strays:
            await self._cancel(job)
        if decision.then is not Then.WAIT and strays:
            return await self._await(strays, snapshot)
        if decision.then is not Then.ASK and self.run.state is RunState.NEEDS_ATTENTION:
            # What it asked about was resolved.
            await self._change(lambda run: replace(run, state=RunState.RUNNING, troubles=(), error=None))
        match decision.then:
            case Then.WAIT:
                return not decision.accept or await self._accept(decision, seen)
            case Then.STORE:
                self._store = None
                await self.warn("STORAGE_UNAVAILABLE", "a folder of its scenes cannot be listed")
                return True
            case Then.ASK:
                troubles = tuple(troubles_of(decision.troubles, seen))
                # The leg waits for jobs that ask to be resolved; all else is for somebody to approve.
                waits = any(trouble.asks for trouble in decision.troubles)
                return not await self._change(lambda run: run.asks(troubles)) or waits
            case Then.STORYBOARD_GATE:
                return not await self._change(lambda run: run.awaits(FilmGate.STORYBOARD))
            case Then.CLIPS_GATE:
                return not await self._change(lambda run: run.awaits(FilmGate.CLIPS))
            case Then.SUCCEED:
                return not await self._change(lambda run: run.ends(RunState.SUCCEEDED))
            case Then.FAIL:
                failure = JobFailure(reason="SHOT_FAILED", message="an output failed that the film was not to lack")
                return not await self._change(lambda run: run.ends(RunState.FAILED, failure))
            case Then.END:
                state = RunState.FAILED if self.run.error else RunState.CANCELLED
                return not await self._change(lambda run: run.ends(state, run.error))
            case Then.RENDER | Then.PUBLISH if self._renders:
                return await self._finish(decision, seen, snapshot)
            case Then.RENDER | Then.PUBLISH:
                queued = await self._change(lambda run: run.wants_slot(self._context.clock()))
                self._context.wakeups.wake(RENDERS)
                return not queued

    async def _finish(self, decision: Decision, seen: Look, snapshot: Snapshot) -> bool:
        """Renders or publishes the film; returns whether the leg goes on."""
        assert self._store is not None, "looked at by now"
        plan, models = await self._planned()
        material = material_of(
            self.run, plan, models, decision.statuses, seen=seen, outputs=snapshot.outputs, files=self._store.files
        )
        try:
            self.run = await finish(self._context, self.run, material)
        except FileLost as exc:
            # Looked for once more: it is made anew, if a job made it.
            self._lost.add(exc.place)
            self._store = None
        return self.run.state is not RunState.NEEDS_ATTENTION

    async def _change(self, edit: Callable[[FilmRun], FilmRun]) -> bool:
        """Changes the run, unless somebody has changed its state since it was looked at; returns whether it did."""
        seen = self.run.state
        states: list[RunState] = []

        def guarded(run: FilmRun) -> FilmRun:
            states.append(run.state)
            return edit(run) if run.state is seen else run

        self.run = await self._context.runs.change(self.run, guarded)
        return states[-1] is seen

    def _strays(self, seen: Look, snapshot: Snapshot) -> list[Job]:
        """Returns the jobs of the run that are under way and that its plan, which was edited, no longer wants."""
        wanted = {job.job_id for job in seen.jobs.values()}
        return [
            job
            for job in snapshot.jobs.values()
            if not job.final and job.request.film_run == self.run.run and job.job_id not in wanted
        ]

    async def _await(self, strays: Sequence[Job], snapshot: Snapshot) -> bool:
        """Has somebody resolve the jobs that ask and that no plan wants; the leg goes on, since all jobs must end."""
        if asking := tuple(troubles_of_strays(strays, snapshot.outputs)):
            await self._change(lambda run: run.asks(asking))
        return True

    async def _cancel(self, job: Job) -> None:
        if job.state in (State.CANCELLING, State.NEEDS_ATTENTION):
            return
        try:
            await cancel(self._context.jobs, job.job_id)
        except (JobNotFound, WrongState):
            # It is over, or asks by now: the next look sees it.
            return

    async def _accept(self, decision: Decision, seen: Look) -> bool:
        """Accepts jobs; returns whether the leg goes on. One for which there is no money is asked about once no other
        is under way, whose end may free some, and with it the jobs that ask.
        """
        children = [child for key in decision.accept if (child := await self._child(key, seen)) is not None]
        accepting = await self._context.runs.accept(self.run, children)
        match accepting.refused:
            case None:
                return True
            case FilmCreditsExceeded() | ProjectCreditsExceeded() as exc:
                more = accepting.accepted or len(children) < len(decision.accept)
                if more or any(item.child is Child.OPEN for item in seen.items):
                    return True
                asking = tuple(troubles_of((trouble for trouble in decision.troubles if trouble.asks), seen))
                of_film = isinstance(exc, FilmCreditsExceeded)
                reason = "FILM_CREDITS_EXCEEDED" if of_film else "PROJECT_CREDITS_EXCEEDED"
                failure = JobFailure(reason=reason, message=str(exc))
                return not await self._change(lambda run: run.asks(asking, failure))
            case QueueFull() as exc:
                await self.warn("QUEUE_FULL", str(exc))
            case SceneBusy() as exc:
                await self.warn("SCENE_BUSY", str(exc))
            case unexpected:
                raise unexpected
        return True

    async def _child(self, key: str, seen: Look) -> NewChild | None:
        """Returns the job for an output; None if it is to go on from another clip whose last frame is not to be had."""
        wanted, composed, context = seen.wanted[key], seen.composed[key], self._context
        if (clip := seen.continued.get(key)) is not None:
            try:
                composed = await context.beginnings.of(composed, clip, self.run.project_id, wanted.scene.scene_id)
            except FileLost as exc:
                self._lost.add(exc.place)
                self._store = None
                return None
            except MediaRefused as exc:
                # The next look has it fail, as its policy says.
                self._frameless[clip.sha256] = str(exc)
                return None
            except (SceneBusy, StorageError, MediaUnreachable, OSError) as exc:
                # At the next look it is tried again; the others are accepted meanwhile.
                busy = isinstance(exc, SceneBusy)
                await self.warn(*(("SCENE_BUSY", str(exc)) if busy else blocked_by(exc, "")))
                return None
        return new_child(
            self.run,
            wanted,
            composed,
            intake=context.intake,
            now=context.clock(),
            job_id=context.new_id(),
            lost=key in seen.lost,
        )
