"""What a committed transaction changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from evergreen_server.jobs.model.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A job before and after a transaction of this server."""

    old: Job
    new: Job

    @property
    def leaves(self) -> bool:
        """Returns whether the job has left a stage; another attempt has stages of its own."""
        return begins_stage(self.old, self.new)


def begins_stage(old: Job, new: Job) -> bool:
    """Returns whether a change of a job ends the stage that it was in."""
    return (new.stage, new.attempt, new.final) != (old.stage, old.attempt, old.final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the log that tells of a transition: a fixed event, and the facts beside it."""

    event: str
    facts: Mapping[str, object]
    warns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmWork:
    """A run of a film, or a part of it, that is over."""

    name: str
    """Of the work: the run's whole is `film`."""
    project_id: str
    film_id: str
    run: int
    traceparent: str
    """Of the run's whole, as its row has it."""
    began: datetime
    ended: datetime
    facts: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""
    """The reason why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a committed transaction touched; a hint to read again, never the data itself."""

    project_id: str
    job_id: str
    external: bool = False
    """Whether a caller made it, or a slot was granted, so that the job's execution must read the row again."""
    granted: bool = False
    """Whether it is such a slot, and nothing else; known to the server that granted it alone."""
    queue: str = ""
    """The model whose queue is to be served, since the job joined it or gave a slot back."""
    enqueued: str = ""
    """The queue of the engine into which it put the workflow that runs the job."""
    step: Step | None = field(default=None, compare=False, repr=False)
    """For those who count in this process what it did; never sent to others."""
    film_work: Sequence[FilmWork] = field(default=(), compare=False, repr=False)
    """For those who tell traces; never sent to others."""
    lines: Sequence[Line] = field(default=(), compare=False, repr=False)
    """What the server that did it logs of it, once it is committed."""
