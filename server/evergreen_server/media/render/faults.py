"""What is told of errors that no file is at fault for."""

import errno
from pathlib import Path
from traceback import extract_tb

import av

from evergreen_server.ports.rendering import RenderRefused

_PACKAGE = Path(__file__).parent
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def refusal_of(exc: Exception, *, span: int | None = None) -> RenderRefused:
    """Returns a refusal for an error, at a span if it is known; one that is a refusal stays as it is."""
    if isinstance(exc, RenderRefused):
        return exc
    return RenderRefused(_text(exc), code="RENDER_FAILED", span=span)


def is_full(exc: BaseException | None) -> bool:
    """Returns whether an error says that the disk is full."""
    return isinstance(exc, OSError) and exc.errno in _DISK_FULL


def _text(exc: Exception) -> str:
    if is_full(exc):
        return "the disk is full"
    if isinstance(exc, MemoryError):
        return "there is not enough memory"
    if isinstance(exc, OSError):
        return f"the disk failed ({exc.strerror})"
    if isinstance(exc, av.ExternalError):
        # All that x264 says when it gets no memory.
        return "an encoder failed; there may not be enough memory"
    # An error of ours: of what is being rendered nothing is told.
    ours = [frame for frame in extract_tb(exc.__traceback__) if _PACKAGE in Path(frame.filename).parents]
    at = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    what = f"FFmpeg: {exc.strerror}" if isinstance(exc, av.FFmpegError) else type(exc).__name__
    return f"the renderer failed ({what}{at})"
