"""The provider: the values and protocols that `runway` implements.

Knows no vendor, no wire and no database. Money is in integer millicredits (1 credit = 1000).

    ProviderError
      NotSent              surely no byte of the request was acted on; may be sent again
        NotOurs            because another replica may own the job by now
      SubmissionUnknown    a create may or may not have made a paid task; never send it again
      Refused              the provider read the request and said no; nothing was created
        InsufficientCredits
      Unauthorized         the key, the account or the host is wrong; nothing was created
      DailyLimitReached    nothing was created; this model is closed until the quota moves
      TaskGone             the provider knows no such task
      OutputUnavailable    a signed output URL no longer works; ask for the task again
      ProviderUnavailable  a read failed for now; ask again later
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from evergreen_server.ports.specs import FieldError, GenerationSpec, PreparedMedia


class TaskState(StrEnum):
    """A provider task's state; UNKNOWN stands for a word that we have never seen."""

    PENDING = "PENDING"
    THROTTLED = "THROTTLED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a task failed. `reason` is ours and stable; `code` and `message` are the provider's own.

    `retryable`: the same request may succeed later. `free`: the failure is said to cost nothing.
    """

    reason: str
    message: str
    code: str = ""
    retryable: bool = False
    free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One answer about a task. `charged_millicredits` is known only when the task has ended."""

    task_id: str
    state: TaskState
    status: str
    """The provider's own word, for logs and warnings."""
    progress: float | None = None
    output_urls: tuple[str, ...] = ()
    failure: Failure | None = None
    estimated_millicredits: int | None = None
    charged_millicredits: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A task that now exists and may be charged."""

    task_id: str
    estimated_millicredits: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """The tier's limits for one model; None is unlimited."""

    max_concurrent: int | None
    max_daily: int | None
    used_today: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The provider's organization: balance and limits per model."""

    balance_millicredits: int
    max_monthly_millicredits: int | None
    limits: Mapping[str, ModelLimits]
    api_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An open body. `size` is the whole object's length if the server gave it; chunks start at `offset`."""

    chunks: AsyncIterator[bytes]
    size: int | None
    offset: int
    content_type: str


Read: TypeAlias = Callable[[int, int], Awaitable[bytes]]
"""Takes an offset and a number of bytes and returns that many, fewer only at the end. Raises OSError."""


class Provider(Protocol):
    """A service that makes videos. Every method has a bound in time and raises only ProviderError."""

    async def create(
        self, spec: GenerationSpec, media: Sequence[PreparedMedia], *, before_send: Callable[[], None]
    ) -> Submission:
        """Creates one paid task by one POST that is never repeated.

        `before_send` is called with the connection open, immediately before the first byte; if it
        raises, nothing was sent and the exception passes through.
        Raises NotSent, SubmissionUnknown, Refused, InsufficientCredits, Unauthorized, DailyLimitReached.
        """
        ...

    async def task(self, task_id: str) -> Task:
        """Returns one task, asked for once: the caller decides when to ask again.

        Raises TaskGone, Unauthorized, ProviderUnavailable.
        """
        ...

    async def delete(self, task_id: str) -> bool:
        """Cancels a task, or deletes an ended one with its output; False if it was gone already.

        Raises Unauthorized, ProviderUnavailable.
        """
        ...

    async def upload(self, filename: str, content_type: str, size: int, read: Read) -> str:
        """Uploads `size` bytes and returns the URI by which `create` may name them (valid 24 h).

        They are read from the start, and again from there if the transfer was interrupted.
        Raises Refused, Unauthorized, DailyLimitReached, ProviderUnavailable.
        """
        ...

    def download(self, url: str, *, offset: int = 0) -> AbstractAsyncContextManager[Download]:
        """Opens an output. Raises OutputUnavailable (expired, 404), ProviderUnavailable (also mid-body)."""
        ...

    async def account(self) -> Account:
        """Returns balance and limits. Raises Unauthorized, ProviderUnavailable."""
        ...


class ProviderError(Exception):
    """The provider or the way to it failed. The text names the cause and is safe to show to a caller."""


class NotSent(ProviderError):
    """The request surely did not reach the provider."""


class NotOurs(NotSent):
    """Another replica may own the job by now, so nothing was sent."""


class SubmissionUnknown(ProviderError):
    """A create was sent and its outcome is not known."""


class Refused(ProviderError):
    """The provider refused the request; nothing was created."""

    def __init__(self, message: str, *, field_errors: Sequence[FieldError] = (), status: int = 400) -> None:
        super().__init__(message)
        self.field_errors = tuple(field_errors)
        self.status = status


class InsufficientCredits(Refused):
    """The account has too few credits for this task; nothing was created."""


class Unauthorized(ProviderError):
    """The key is missing, wrong, disabled or sent to the wrong host; nothing was created."""


class DailyLimitReached(ProviderError):
    """The rolling daily quota of this model is used up; nothing was created."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TaskGone(ProviderError):
    """No such task: never made, deleted or cancelled."""


class OutputUnavailable(ProviderError):
    """The signed URL has expired; the task has a fresh one."""


class ProviderUnavailable(ProviderError):
    """No usable answer for now. `retry_after_seconds` is what the provider asked for, a day at most."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
