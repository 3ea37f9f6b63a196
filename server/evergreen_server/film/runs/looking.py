"""What a run sees of its film: how each output stands to the plan, and what its job is to be asked for. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from evergreen_server.film.composing.compose import Composed, File, Files
from evergreen_server.film.digests import Standing, renews
from evergreen_server.film.model import FirstFrame, OnShotFailure, OutputKind, Plan, PlannedShot, Speech, output_key
from evergreen_server.film.models import FilmModels
from evergreen_server.film.outputs import Wanted, composed_of, wanted_of
from evergreen_server.film.runs.deciding import Child, Item, Statuses, Trouble
from evergreen_server.film.runs.rows import FilmOutput
from evergreen_server.film.runs.run import FilmRun, RunKind, RunTrouble
from evergreen_server.film.screenplay.script import Timing
from evergreen_server.film.statuses import Status
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import State
from evergreen_server.ports.timeline import Source

__all__ = ["Look", "Store", "look", "place_of", "troubles_of", "troubles_of_strays"]

_NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What was found in the store."""

    files: Files
    """The callers' files that were read."""
    gone: frozenset[File] = frozenset()
    """Files of outputs that are not there any more."""
    unknown: frozenset[File] = frozenset()
    """Files of outputs in folders that cannot be listed: whether they are there nobody can tell."""


@dataclass(slots=True, kw_only=True)
class Look:
    """How every output stands, in the order of the film."""

    items: list[Item] = field(default_factory=list)
    wanted: dict[str, Wanted] = field(default_factory=dict)
    composed: dict[str, Composed] = field(default_factory=dict)
    """By key, what its job is asked for; without those whose inputs are not there yet."""
    sources: dict[str, Source] = field(default_factory=dict)
    """By key, the file that stands for the output by now."""
    jobs: dict[str, Job] = field(default_factory=dict)
    """By key, the job of its present take."""
    measured: dict[str, float] = field(default_factory=dict)
    """By line, the seconds of its speech."""
    missing: dict[str, tuple[File, ...]] = field(default_factory=dict)
    """By key, the callers' files that it is made from and that are not there."""
    made: set[str] = field(default_factory=set)
    """Outputs whose file the run itself had made."""
    lost: set[str] = field(default_factory=set)
    """Outputs whose newest take was made, and whose file is gone."""
    continued: dict[str, Source] = field(default_factory=dict)
    """By key of a clip that begins with the last frame of another one: that other one."""
    refused: dict[str, str] = field(default_factory=dict)
    """By key of such a clip, why the other one has no frame to begin with."""


def look(
    run: FilmRun,
    plan: Plan,
    models: FilmModels,
    *,
    outputs: Sequence[FilmOutput],
    jobs: Mapping[str, Job],
    store: Store,
    frameless: Mapping[str, str] = _NONE,
) -> Look:
    """Returns how the outputs of a plan stand for a run, by the rows of its film and by what the store has.

    `frameless` says by the SHA-256 of clips why none of their frames can be taken.
    """
    return _Looking(
        run=run, plan=plan, models=models, outputs=outputs, jobs=jobs, store=store, frameless=frameless
    ).done()


class _Looking:
    def __init__(
        self,
        *,
        run: FilmRun,
        plan: Plan,
        models: FilmModels,
        outputs: Sequence[FilmOutput],
        jobs: Mapping[str, Job],
        store: Store,
        frameless: Mapping[str, str],
    ) -> None:
        self._run, self._plan, self._models, self._jobs, self._store = run, plan, models, jobs, store
        self._frameless = frameless
        self._rows: defaultdict[str, list[FilmOutput]] = defaultdict(list)
        for output in outputs:
            self._rows[output.key].append(output)
        self._statuses = Statuses()
        self._look = Look()

    def done(self) -> Look:
        before = ""
        for wanted in wanted_of(self._plan):
            after = tuple(self._needs(wanted, before))
            item = self._for_run(self._item(wanted, after))
            self._look.wanted[item.key] = wanted
            self._look.items.append(item)
            status = self._statuses.add(item)
            if status is Status.OLDER:
                self._take(wanted, self._newest(item.key))
            if wanted.kind is OutputKind.CLIP:
                before = item.key
        return self._look

    def _needs(self, wanted: Wanted, before: str) -> Iterator[str]:
        """Yields the outputs that one is made from, or whose length it follows."""
        if wanted.kind is not OutputKind.CLIP or wanted.chosen:
            return
        shot, settings = wanted.item, self._plan.settings
        assert isinstance(shot, PlannedShot)
        if shot.first_frame is FirstFrame.PREVIOUS_CLIP and before:
            yield before
        elif shot.first_frame is not FirstFrame.NONE:
            yield output_key(shot.shot_id, OutputKind.PICTURE)
        if settings.speech is Speech.GENERATED and settings.timing is Timing.SPEECH:
            yield from (output_key(line.line_id, OutputKind.SPEECH) for line in wanted.scene.lines)

    def _item(self, wanted: Wanted, after: tuple[str, ...]) -> Item:
        key, policy = wanted.key, self._policy(wanted)
        newest = self._newest(key)
        if wanted.chosen is not None:
            sha256 = self._store.files.get(wanted.chosen)
            if sha256 is not None:
                self._look.sources[key] = Source(scene_id=wanted.chosen[0], asset=wanted.chosen[1], sha256=sha256)
            # One that is gone is no reason to pay for another: somebody chose it.
            child = Child.FAILED if sha256 is None else None
            if child is not None:
                self._look.missing[key] = (wanted.chosen,)
            return Item(
                key=key,
                kind=wanted.kind,
                make=False,
                child=child,
                older=newest is not None,
                on_failure=policy,
            )
        item = Item(key=key, kind=wanted.kind, after=after, older=newest is not None, on_failure=policy)
        if not self._statuses.over(after):
            return item
        composed = self._look.composed[key] = self._compose(wanted, after)
        if any(_place(row) in self._store.unknown for row in self._rows[key]):
            return replace(item, blocked=True)
        return self._standing(wanted, composed, item, newest)

    def _for_run(self, item: Item) -> Item:
        """Returns an item as its run may have it made: an export makes nothing, so what is not there failed."""
        absent = item.make is True and item.child is None and not item.blocked
        return replace(item, child=Child.FAILED) if absent and self._run.kind is RunKind.EXPORT else item

    def _standing(self, wanted: Wanted, composed: Composed, item: Item, newest: FilmOutput | None) -> Item:
        """Returns an item as it stands to what its job would be asked for now."""
        same = [row for row in self._rows[item.key] if row.base == composed.base]
        made = next((row for row in reversed(same) if self._is_there(row)), None)
        latest = max(same, key=lambda row: row.take, default=None)
        due = self._run.takes.get(composed.base, 1)
        if made is not None and (latest is made or latest is None or latest.source is not None) and made.take >= due:
            self._take(wanted, made)
            return replace(item, make=False)
        if latest is not None and latest.take >= due and (child := self._child(latest)) is not None:
            self._look.jobs[item.key] = self._jobs[latest.job_id]
            return replace(item, make=True, child=child)
        if latest is not None and latest.source is not None and not self._is_there(latest):
            self._look.lost.add(item.key)
        if composed.missing:
            self._look.missing[item.key] = composed.missing
            return replace(item, make=True, child=Child.FAILED)
        clip = self._look.continued.get(item.key)
        if clip is not None and clip.sha256 in self._frameless:
            self._look.refused[item.key] = self._frameless[clip.sha256]
            return replace(item, make=True, child=Child.FAILED)
        if newest is not None and due == 1:
            standing = Standing.of(made=newest.basis, wanted=composed.basis, there=True)
            if not renews(self._run.terms.redo, standing):
                self._take(wanted, newest)
                return replace(item, make=False)
        return replace(item, make=True)

    def _child(self, row: FilmOutput) -> Child | None:
        """Returns how the job of a take stands; None if there is none that counts."""
        job = self._jobs.get(row.job_id)
        if job is None or row.source is not None:
            return None
        if job.state is State.NEEDS_ATTENTION:
            return Child.ASKS
        if not job.final or job.state is State.SUCCEEDED:
            # A file that is there counts once it was read.
            return Child.OPEN
        # What failed in an earlier run is tried again by this one.
        return Child.FAILED if row.run == self._run.run else None

    def _compose(self, wanted: Wanted, after: tuple[str, ...]) -> Composed:
        """Returns the request for an output whose inputs are there."""
        files, first = self._store.files, None
        if wanted.kind is OutputKind.CLIP:
            shown = (key for key in after if not key.endswith(f"/{OutputKind.SPEECH}"))
            first = next((self._look.sources.get(key) for key in shown), None)
            shot = wanted.item
            if first is not None and isinstance(shot, PlannedShot) and shot.first_frame is FirstFrame.PREVIOUS_CLIP:
                self._look.continued[wanted.key] = first
        return composed_of(self._plan, self._models, wanted, files, first=first, measured=self._look.measured)

    def _take(self, wanted: Wanted, row: FilmOutput | None) -> None:
        """Has a file stand for an output."""
        if row is None or row.source is None:
            return
        self._look.sources[wanted.key] = row.source
        if row.run == self._run.run:
            self._look.made.add(wanted.key)
        if wanted.kind is OutputKind.SPEECH and row.seconds is not None:
            self._look.measured[wanted.item_id] = row.seconds

    def _newest(self, key: str) -> FilmOutput | None:
        return next((row for row in reversed(self._rows[key]) if self._is_there(row)), None)

    def _is_there(self, row: FilmOutput) -> bool:
        if row.source is None or not row.source.sha256:
            return False
        return _place(row) not in self._store.gone

    def _policy(self, wanted: Wanted) -> OnShotFailure:
        shot = wanted.item
        own = shot.on_failure if isinstance(shot, PlannedShot) else None
        return own or self._run.terms.on_failure


def place_of(source: Source) -> File:
    """Returns the scene of a file, and its path in there."""
    return source.scene_id, source.asset


def _place(row: FilmOutput) -> File | None:
    return None if row.source is None else place_of(row.source)


def troubles_of(troubles: Iterable[Trouble], seen: Look) -> Iterator[RunTrouble]:
    """Yields what is said of outputs that somebody must decide about."""
    for trouble in troubles:
        item_id, _, output = trouble.key.rpartition("/")
        job = seen.jobs.get(trouble.key)
        if job is not None and job.error is not None:
            reason, message = job.error.reason, job.error.message
        elif trouble.key in seen.missing:
            places = ", ".join(f"{scene_id}/{asset}" for scene_id, asset in seen.missing[trouble.key])
            reason, message = "ASSET_NOT_FOUND", f"what it is made from is not there: {places}"
        elif trouble.key in seen.refused:
            reason, message = (
                "CLIP_UNSUPPORTED",
                f"no frame of the clip before it can be taken: {seen.refused[trouble.key]}",
            )
        else:
            reason, message = (job.state.value if job else "INPUT_FAILED"), "what it is made from could not be made"
        yield RunTrouble(
            item_id=item_id,
            output=OutputKind(output).value,
            job_id=job.job_id if job else "",
            reason=reason,
            message=message,
        )


def troubles_of_strays(jobs: Iterable[Job], outputs: Iterable[FilmOutput]) -> Iterator[RunTrouble]:
    """Yields what is said of those jobs that ask although no output of the plan is theirs any more."""
    of_job = {output.job_id: output for output in outputs}
    for job in jobs:
        if job.state is State.NEEDS_ATTENTION:
            yield RunTrouble(
                item_id=of_job[job.job_id].item_id,
                output=of_job[job.job_id].kind.value,
                job_id=job.job_id,
                reason=job.error.reason if job.error else job.state.value,
                message="the film no longer needs it, and its job must be resolved before the run can go on",
            )
