"""What the steps ask about the kind of thing that a job makes. For each kind there is one deliverer."""

from collections.abc import Mapping
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
    poster: bytes = b""
    warnings: tuple[JobWarning, ...] = ()


class Deliverer(Protocol):
    """One kind of output: its place, its types, and how it is examined."""

    @property
    def noun(self) -> str:
        """Returns what one output is called in texts for people."""
        ...

    @property
    def folder(self) -> str:
        """Returns the folder of the scene into which outputs go."""
        ...

    @property
    def extensions(self) -> Mapping[str, str]:
        """Returns the extension of a file's name by its content type, for each type that an output may have."""
        ...

    @property
    def most_bytes(self) -> int:
        """Returns how long an output may be."""
        ...

    async def examine(self, job: Job, path: Path, content_type: str) -> Examined:
        """Measures an output that was stored whole, and makes its poster, if it has one. Raises Unusable."""
        ...
