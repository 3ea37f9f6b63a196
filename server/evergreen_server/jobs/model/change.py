"""What a committed transaction changed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a committed transaction touched; a hint to read again, never the data itself."""

    project_id: str
    job_id: str
    external: bool = False
    """Whether a caller of the API made it, or a slot was granted, so that whoever executes the job should look."""
    queue: str = ""
    """The model whose line should be looked at, since the job joined it or gave a slot back."""
