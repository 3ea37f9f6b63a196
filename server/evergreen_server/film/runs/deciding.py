"""What a run does next: one pure function of its outputs and of the jobs that make them.

Whoever calls it reads one snapshot, does what it says, and asks again. It remembers nothing: a run that is begun again
after a crash comes to the same decision from the same rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from evergreen_server.film.model import OnShotFailure, OutputKind
from evergreen_server.film.statuses import Status

__all__ = [
    "AT_ONCE",
    "Child",
    "Decision",
    "FilmGate",
    "FilmStage",
    "Item",
    "Run",
    "Statuses",
    "Then",
    "Trouble",
    "decide",
    "instead",
    "statuses",
]

AT_ONCE: Final = 50
"""Jobs that are accepted in one transaction."""


class FilmStage(StrEnum):
    STORYBOARD = "STORYBOARD"
    """Pictures and speech are made."""
    CLIPS = "CLIPS"
    ASSEMBLING = "ASSEMBLING"
    PUBLISHING = "PUBLISHING"


class FilmGate(StrEnum):
    """Where a run waits for approval."""

    STORYBOARD = "STORYBOARD"
    """After all pictures and speech, before the clips."""
    CLIPS = "CLIPS"
    """After all clips, before the cut."""


class Child(StrEnum):
    """How the job stands that makes an output's present take."""

    OPEN = "OPEN"
    ASKS = "ASKS"
    """It needs attention: nobody knows whether it was paid for."""
    MADE = "MADE"
    FAILED = "FAILED"
    """It ended without the output, whatever the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One output of the plan. An output comes after those that it is made from."""

    key: str
    """`{id of the shot or line}/{what}`."""
    kind: OutputKind
    after: tuple[str, ...] = ()
    """The outputs that it is made from, or whose length it follows."""
    make: bool | None = None
    """Whether the run makes it; False if it is reused as it is. None until all of `after` is there: nobody knows what
    it is made from before that."""
    blocked: bool = False
    """The store cannot say whether the output is there."""
    child: Child | None = None
    """None while no job was accepted for its present take."""
    older: bool = False
    """An older output is there, which could stand in."""
    on_failure: OnShotFailure = OnShotFailure.ASK


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """An output that somebody must decide about; `asks` if its job does, rather than the run."""

    key: str
    asks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is known of a run beside its outputs."""

    gates: frozenset[FilmGate] = frozenset()
    passed: frozenset[FilmGate] = frozenset()
    """The gates that were approved."""
    stop_after: FilmStage | None = None
    ending: bool = False
    """It was cancelled, or its time is over: nothing more is begun."""
    rendered: bool = False
    published: bool = False


class Then(StrEnum):
    """What a run comes to, once its jobs were accepted."""

    WAIT = "WAIT"
    """Jobs are under way, or there are more to be accepted."""
    STORE = "STORE"
    """The store must be asked again."""
    ASK = "ASK"
    STORYBOARD_GATE = "STORYBOARD_GATE"
    CLIPS_GATE = "CLIPS_GATE"
    RENDER = "RENDER"
    PUBLISH = "PUBLISH"
    SUCCEED = "SUCCEED"
    FAIL = "FAIL"
    END = "END"
    """It was ending, and every job has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    then: Then
    stage: FilmStage
    accept: tuple[str, ...] = ()
    """Outputs whose jobs are to be accepted now, in the order of the film."""
    cancel: tuple[str, ...] = ()
    """Outputs whose jobs are to be cancelled."""
    troubles: tuple[Trouble, ...] = ()
    statuses: Mapping[str, Status] = field(default_factory=dict)


_USABLE: Final = frozenset({Status.THERE, Status.OLDER})
_OVER: Final = _USABLE | {Status.STILL, Status.LEFT_OUT}
_IN_TROUBLE: Final = frozenset({Status.TROUBLE, Status.FATAL, Status.UNREACHABLE, Status.ASKS})


def decide(run: Run, items: Sequence[Item]) -> Decision:
    """Returns what a run does next. The items are in the order of the film, and each after those that it needs.

    Raises ValueError if nobody says whether an output is to be made although all that it needs is there.
    """
    found = statuses(items)
    wanted = [item for item in items if _clips(run) or item.kind is not OutputKind.CLIP]
    stage = _stage(run, wanted, found)
    if run.ending:
        cancel = tuple(item.key for item in items if item.child is Child.OPEN)
        asking = tuple(Trouble(key=item.key, asks=True) for item in items if item.child is Child.ASKS)
        last = Then.WAIT if cancel else Then.ASK if asking else Then.END
        return Decision(then=last, stage=stage, cancel=cancel, troubles=asking, statuses=found)
    gated = FilmGate.STORYBOARD in run.gates - run.passed
    begun = [item for item in wanted if not gated or item.kind is not OutputKind.CLIP]
    ready = tuple(item.key for item in begun if found[item.key] is Status.READY)
    now = {found[item.key] for item in begun}
    troubles = tuple(_troubles(begun, found))
    if ready or Status.OPEN in now:
        return Decision(then=Then.WAIT, stage=stage, accept=ready[:AT_ONCE], troubles=troubles, statuses=found)
    then = Then.ASK if troubles else Then.FAIL if Status.FATAL in now else Then.STORE if Status.BLOCKED in now else None
    if then is None and Status.WAITS in now:
        raise ValueError("nobody says whether an output is to be made: " + ", ".join(_waiting(begun, found)))
    return Decision(then=then or _beyond(run, gated=gated), stage=stage, troubles=troubles, statuses=found)


def _beyond(run: Run, *, gated: bool) -> Then:
    """Returns what comes once every output that may be made is over."""
    if not _clips(run):
        return Then.SUCCEED
    if gated:
        return Then.STORYBOARD_GATE
    if run.stop_after is FilmStage.CLIPS or run.published:
        return Then.SUCCEED
    if FilmGate.CLIPS in run.gates - run.passed:
        return Then.CLIPS_GATE
    return Then.PUBLISH if run.rendered else Then.RENDER


def statuses(items: Iterable[Item]) -> dict[str, Status]:
    """Returns how each output stands, by its key."""
    found = Statuses()
    for item in items:
        found.add(item)
    return found.by_key


class Statuses:
    """How outputs stand, given one after the other: what one is made from may depend on how others stand."""

    def __init__(self) -> None:
        self.by_key: dict[str, Status] = {}
        self._kinds: dict[str, OutputKind] = {}

    def add(self, item: Item) -> Status:
        """Returns how the next output stands."""
        before = [(self._kinds[key], self.by_key[key]) for key in item.after]
        self._kinds[item.key] = item.kind
        self.by_key[item.key] = (status := _status(item, before))
        return status

    def over(self, keys: Iterable[str]) -> bool:
        """Returns whether nothing more is awaited of these outputs."""
        return all(self.by_key[key] in _OVER for key in keys)


def _status(item: Item, before: Sequence[tuple[OutputKind, Status]]) -> Status:
    match item.child:
        case Child.OPEN:
            return Status.OPEN
        case Child.ASKS:
            return Status.ASKS
        case Child.MADE:
            return Status.THERE
        case Child.FAILED:
            return _instead(item, before)
        case None if item.make is False:
            return Status.THERE
    now = {status for _, status in before}
    if now & _IN_TROUBLE:
        return Status.UNREACHABLE
    if not now <= _OVER:
        return Status.BLOCKED if Status.BLOCKED in now else Status.WAITS
    if (OutputKind.PICTURE, Status.LEFT_OUT) in before:
        return Status.LEFT_OUT
    if any(kind is OutputKind.CLIP and status not in _USABLE for kind, status in before):
        # Nothing ends in the frame with which it would begin.
        return _instead(item, before)
    if item.blocked:
        return Status.BLOCKED
    return Status.READY if item.make else Status.WAITS


def instead(items: Iterable[Item], found: Mapping[str, Status]) -> dict[str, Status]:
    """Returns by key what stands in for outputs whose file is there and cannot be used, as their policy says."""
    able = {}
    for item in items:
        before = [(OutputKind(key.rpartition("/")[2]), found[key]) for key in item.after]
        if found[item.key] is Status.THERE and (status := _instead(item, before)) in _OVER:
            able[item.key] = status
    return able


def _instead(item: Item, before: Sequence[tuple[OutputKind, Status]]) -> Status:
    """Returns what becomes of an output that cannot be made. What its policy cannot do is asked."""
    match item.on_failure:
        case OnShotFailure.FAIL:
            return Status.FATAL
        case OnShotFailure.SKIP:
            return Status.LEFT_OUT
        case OnShotFailure.LAST_GOOD if item.older:
            return Status.OLDER
        case OnShotFailure.STILL if item.kind is OutputKind.CLIP and _has_picture(before):
            return Status.STILL
        case _:
            return Status.TROUBLE


def _has_picture(before: Sequence[tuple[OutputKind, Status]]) -> bool:
    return any(kind is OutputKind.PICTURE and status in _USABLE for kind, status in before)


def _clips(run: Run) -> bool:
    return run.stop_after is not FilmStage.STORYBOARD


def _stage(run: Run, items: Sequence[Item], found: Mapping[str, Status]) -> FilmStage:
    unfinished = {item.kind for item in items if found[item.key] not in _OVER}
    if unfinished - {OutputKind.CLIP}:
        return FilmStage.STORYBOARD
    if unfinished or not _clips(run) or run.stop_after is FilmStage.CLIPS:
        return FilmStage.CLIPS if _clips(run) else FilmStage.STORYBOARD
    return FilmStage.PUBLISHING if run.rendered else FilmStage.ASSEMBLING


def _troubles(items: Iterable[Item], found: Mapping[str, Status]) -> Iterator[Trouble]:
    for item in items:
        if found[item.key] in (Status.TROUBLE, Status.ASKS):
            yield Trouble(key=item.key, asks=found[item.key] is Status.ASKS)


def _waiting(items: Iterable[Item], found: Mapping[str, Status]) -> Iterator[str]:
    for item in items:
        if found[item.key] is Status.WAITS:
            yield item.key
