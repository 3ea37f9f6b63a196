"""What a committed transaction changed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a committed transaction touched; a hint to read again, never the data itself."""

    project_id: str
    job_id: str
    external: bool = False
    """Whether a caller made it, or a slot was granted, so that the job's execution must read the row again."""
    queue: str = ""
    """The model whose queue is to be served, since the job joined it or gave a slot back."""
