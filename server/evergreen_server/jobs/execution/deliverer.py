"""What the steps ask about the kind of thing that a job makes. For each kind there is one deliverer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evergreen_server.jobs.model.job import Job, JobWarning
from evergreen_server.ports.media import Clip


class Unusable(Exception):
    """The file that came is not what was to be made. The text is for the job's caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found in an output; `poster` is a JPEG of it, empty where there is none."""

    probe: Clip
    poster: bytes
    warnings: tuple[JobWarning, ...] = ()


class Deliverer(Protocol):
    """One kind of output: its names, its type, and how it is examined."""

    @property
    def noun(self) -> str:
        """Returns what one output is called in texts for people."""
        ...

    @property
    def content_type(self) -> str:
        """Returns the content type with which an output is stored."""
        ...

    def output_path(self, job: Job, number: int) -> str:
        """Returns the first choice for the name of an output, counted from 1."""
        ...

    def poster_path(self, output: str) -> str:
        """Returns the first choice for the name of an output's poster."""
        ...

    async def examine(self, job: Job, path: Path) -> Examined:
        """Measures an output that was stored whole, and makes its poster. Raises Unusable."""
        ...
