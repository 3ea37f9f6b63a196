"""One leg of a run: from an approval to the next question, or to its end. A step looks, and does what follows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from evergreen_server.film.composing import files_of
from evergreen_server.film.model import OutputKind, Plan
from evergreen_server.film.models import FilmModels, models_of
from evergreen_server.film.runs.context import FilmContext
from evergreen_server.film.runs.deciding import Child, Decision, FilmGate, Run, Then, Trouble, decide
from evergreen_server.film.runs.looking import Look, Store, look
from evergreen_server.film.runs.rows import FilmOutput
from evergreen_server.film.runs.run import FilmRun, RunState, RunTrouble
from evergreen_server.film.runs.store import NewChild, Snapshot
from evergreen_server.jobs.commands import cancel
from evergreen_server.jobs.intake import GenerationRequest
from evergreen_server.jobs.model.errors import JobNotFound, Superseded, WrongState
from evergreen_server.jobs.model.held import FilmCreditsExceeded
from evergreen_server.jobs.model.job import Job, JobFailure
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store.ledger import ProjectCreditsExceeded
from evergreen_server.ports.timeline import Source

__all__ = ["Leg"]

FINISH_WITHIN: Final = timedelta(days=30)
"""Until then a job of a film may wait, where the run has no end: a film may take longer than the provider's day."""


class Leg:
    """Keeps between its steps only what can be read again."""

    def __init__(self, context: FilmContext, run: FilmRun) -> None:
        self.run = run
        self._context = context
        self._plan: Plan | None = None
        self._models: FilmModels | None = None
        self._store: Store | None = None
        self._watched: set[str] = set()

    def close(self) -> None:
        """Waits for no more jobs."""
        for job_id in self._watched:
            self._context.films_of.pop(job_id, None)

    async def warn(self, code: str, cause: str) -> None:
        """Has the caller see what the run waits for. Raises Superseded."""
        self.run = await self._context.runs.change(self.run, lambda run: run.warned(code, f"the run waits: {cause}"))

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
            error = JobFailure(reason="FILM_EXPIRED", message="the run was not over by its finish_by")
            await self._change(lambda run: run.cancelling(error))
            return True
        plan, models = await self._planned()
        if await self._record(snapshot):
            # What came just now may be what others wait for.
            snapshot = await context.runs.snapshot(self.run)
        if self._store is None:
            files = [place for _, place in files_of(plan)]
            self._store = await context.surveyor.survey(self.run.project_id, files, snapshot.outputs)
        work = partial(
            look,
            self.run,
            plan,
            models,
            outputs=snapshot.outputs,
            jobs=snapshot.jobs,
            store=self._store,
        )
        seen = await context.threads.run(work, owner=self.run.project_id)
        self._watch(seen)
        terms = self.run.terms
        facts = Run(
            gates=terms.gates,
            passed=self.run.passed,
            stop_after=terms.stop_after,
            ending=self.run.state is RunState.CANCELLING,
        )
        return await self._act(decide(facts, seen.items), seen)

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
        file = job.outputs[0]
        sha256 = await self._context.surveyor.sha256(self.run.project_id, output.scene_id, file.path)
        # One that somebody has removed meanwhile has no content: it was made, and is lost.
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

    async def _act(self, decision: Decision, seen: Look) -> bool:
        """Does what was decided; returns whether the leg goes on."""
        await self._change(partial(replace, stage=decision.stage))
        for key in decision.cancel:
            await self._cancel(seen.jobs[key].job_id)
        if decision.accept:
            refused = await self._accept(decision.accept, seen)
            if refused is not None and not self._watched:
                await self._change(lambda run: run.asks((), refused))
                return False
        match decision.then:
            case Then.WAIT:
                if self.run.state is RunState.NEEDS_ATTENTION:
                    await self._change(lambda run: replace(run, state=RunState.RUNNING, troubles=(), error=None))
            case Then.STORE:
                self._store = None
            case Then.ASK:
                troubles = tuple(self._troubles(decision.troubles, seen))
                await self._change(lambda run: run.asks(troubles))
                # A job that asks is heard once it is resolved; all else is for somebody to approve.
                return any(trouble.asks for trouble in decision.troubles)
            case Then.STORYBOARD_GATE:
                await self._change(lambda run: run.awaits(FilmGate.STORYBOARD))
                return False
            case Then.CLIPS_GATE:
                await self._change(lambda run: run.awaits(FilmGate.CLIPS))
                return False
            case Then.SUCCEED:
                await self._change(lambda run: run.ends(RunState.SUCCEEDED))
                return False
            case Then.FAIL:
                failure = JobFailure(reason="SHOT_FAILED", message="an output failed that the film was not to lack")
                await self._change(lambda run: run.ends(RunState.FAILED, failure))
                return False
            case Then.END:
                state = RunState.FAILED if self.run.error else RunState.CANCELLED
                await self._change(lambda run: run.ends(state, run.error))
                return False
            case Then.RENDER | Then.PUBLISH:
                raise AssertionError("a run that goes on to the cut is not started")
        return True

    async def _change(self, edit: Callable[[FilmRun], FilmRun]) -> None:
        self.run = await self._context.runs.change(self.run, edit)

    async def _cancel(self, job_id: str) -> None:
        try:
            await cancel(self._context.jobs, job_id)
        except (JobNotFound, WrongState):
            # It is over, or asks by now: the next look sees it.
            return

    async def _accept(self, keys: Sequence[str], seen: Look) -> JobFailure | None:
        """Accepts jobs; returns why one was refused for lack of money."""
        accepting = await self._context.runs.accept(self.run, [self._child(key, seen) for key in keys])
        match accepting.refused:
            case None:
                return None
            case FilmCreditsExceeded() as exc:
                return JobFailure(reason="FILM_CREDITS_EXCEEDED", message=str(exc))
            case ProjectCreditsExceeded() as exc:
                return JobFailure(reason="PROJECT_CREDITS_EXCEEDED", message=str(exc))
            case refused:
                # The queue is full, or a scene is busy: it will not stay so.
                raise refused

    def _child(self, key: str, seen: Look) -> NewChild:
        wanted, composed, run = seen.wanted[key], seen.composed[key], self.run
        now = self._context.clock()
        request = GenerationRequest(
            project_id=run.project_id,
            scene_id=wanted.scene.scene_id,
            request_id=composed.base,
            digest=composed.base,
            spec=composed.spec,
            priority=run.terms.priority,
            max_attempts=run.terms.max_attempts,
            on_unknown_submission=run.terms.on_unknown_submission,
            start_by=run.finish_by or now + FINISH_WITHIN,
            finish_by=run.finish_by,
        )
        stored, estimate = self._context.intake.judge(request)
        assert estimate is not None, "a film with an unknown price is not started"
        return NewChild(
            item_id=wanted.item_id,
            kind=wanted.kind,
            base=composed.base,
            basis=composed.basis,
            request=stored,
            estimated_millicredits=estimate,
            job_id=self._context.new_id(),
            lost=key in seen.lost,
        )

    def _troubles(self, troubles: Sequence[Trouble], seen: Look) -> Iterator[RunTrouble]:
        for trouble in troubles:
            item_id, _, output = trouble.key.rpartition("/")
            job = seen.jobs.get(trouble.key)
            if job is not None and job.error is not None:
                reason, message = job.error.reason, job.error.message
            elif trouble.key in seen.missing:
                places = ", ".join(f"{scene_id}/{asset}" for scene_id, asset in seen.missing[trouble.key])
                reason, message = "ASSET_NOT_FOUND", f"what it is made from is not there: {places}"
            else:
                reason, message = (job.state.value if job else "INPUT_FAILED"), "what it is made from could not be made"
            yield RunTrouble(
                item_id=item_id,
                output=OutputKind(output).value,
                job_id=job.job_id if job else "",
                reason=reason,
                message=message,
            )
