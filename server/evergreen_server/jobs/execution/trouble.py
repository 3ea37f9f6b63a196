"""What prevents a step: whether it may pass, and how the job's caller is warned.

Errors of the database, a storage, the network or the provider may pass, and never end a job. Any other error raised by
work on the job's own input would come again each time: it is an InputFailure.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.model.errors import JobError
from evergreen_server.jobs.model.warnings import DECODERS_BUSY, PROVIDER_UNAVAILABLE, STEP_FAILED, STORAGE_UNAVAILABLE
from evergreen_server.ports.media import MediaError, MediaUnreachable
from evergreen_server.ports.provider import ProviderError
from evergreen_storage import StorageError

INPUT_TRIES = 3
WARN_AT_TRY = {DECODERS_BUSY: 3}
"""By code, at which failed try the caller is warned, if that is not the first."""


class InputFailure(Exception):
    """Work on a job's own input raised an unexpected error, its cause. Nothing was sent or paid."""


class DecodersBusy(Exception):
    """The decoders were busy for too long, or did not answer, which says nothing about the file."""


@contextmanager
def own_input() -> Iterator[None]:
    """Raises InputFailure in place of unexpected errors; for work that only the job's own input can make fail."""
    try:
        yield
    except (MediaError, ProviderError, StorageError, SQLAlchemyError, JobError, InputFailure, DecodersBusy):
        raise
    except OSError as exc:
        # From the system, unlike an OSError that a library raises for a broken file.
        if exc.errno is not None:
            raise
        raise InputFailure(type(exc).__name__) from exc
    except Exception as exc:
        raise InputFailure(type(exc).__name__) from exc


def blocked_by(exc: Exception, error_id: str) -> tuple[str, str]:
    """Returns the code of the warning and what the job waits for, never the text of an unexpected error."""
    match exc:
        case StorageError():
            return STORAGE_UNAVAILABLE, str(exc)
        case ProviderError():
            return PROVIDER_UNAVAILABLE, str(exc)
        case DecodersBusy() | MediaUnreachable():
            # The latter while a clip is delivered, when nothing is fetched from a caller's URL.
            return DECODERS_BUSY, str(exc)
        case OSError():
            text = f"a file or a connection of the server failed ({exc.strerror or type(exc).__name__})"
            return STORAGE_UNAVAILABLE, text
        case _:
            kind = type(exc.__cause__ or exc).__name__ if isinstance(exc, InputFailure) else type(exc).__name__
            return STEP_FAILED, f"a fault of the service ({kind}), logged with the error id {error_id}; it tries again"
