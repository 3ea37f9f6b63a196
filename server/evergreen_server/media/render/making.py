"""Makes the pieces of a film that are not there yet, some at a time."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from fractions import Fraction
from functools import partial
from threading import Lock

from evergreen_server.media.render.faults import refusal_of
from evergreen_server.media.render.order import Step
from evergreen_server.media.render.picture.conform import Conformer, named
from evergreen_server.media.render.picture.footage import seconds_of
from evergreen_server.media.render.picture.lettering import Letters
from evergreen_server.media.render.pieces import Piece, divide
from evergreen_server.media.render.segments import Segments
from evergreen_server.media.render.sources import Sources
from evergreen_server.media.render.takes import Take
from evergreen_server.ports.rendering import RenderOrder, RenderRefused

_SHORT_FRAMES = 2
"""By so many frames a clip may be too short without a warning: rates and encoders round."""


def short_clips(order: RenderOrder) -> list[str]:
    """Returns a warning for each clip that is shorter than its span. Raises RenderRefused for one that is broken."""
    fps, spans = order.profile.fps, enumerate(order.timeline.spans)
    clips = [(index, span.source.sha256, span.frames) for index, span in spans if span.source and not span.still]
    longest, lengths = Counter[str](), dict[str, Fraction]()
    for _, sha256, frames in clips:
        longest[sha256] = max(longest[sha256], frames)
    warnings = []
    for index, sha256, frames in clips:
        if sha256 not in lengths:
            with named(index):
                lengths[sha256] = seconds_of(order.files[sha256], Fraction(longest[sha256], fps))
        held = frames - round(lengths[sha256] * fps)
        if held > _SHORT_FRAMES:
            warnings.append(f"CLIP_SHORT: span {index}: the clip is {held} frames too short; its last one is held")
    return warnings


class Making:
    """The pieces of one film. `tell` is called from several threads, one at a time."""

    def __init__(
        self,
        order: RenderOrder,
        letters: Letters | None,
        sources: Sources,
        segments: Segments,
        tell: Callable[[Step], None],
    ) -> None:
        self._conformer = Conformer(profile=order.profile, files=order.files, letters=letters)
        self._pieces = divide(order.timeline, order.profile.fps, burned=letters is not None)
        font = letters.digest if letters is not None else ""
        self._digests = [piece.digest(order.profile, font) for piece in self._pieces]
        self._seen = Counter(self._digests)
        self._sources = sources
        self._segments = segments
        self._tell = tell
        self._lock = Lock()
        self._done = 0
        self._at: set[int] = set()
        self._stopped = False
        self.made = 0
        self.reused = 0

    def make(self, at_once: int) -> list[Take]:
        """Returns the takes of all pieces, in their order. Raises RenderRefused, and OSError of the disk."""
        takes: dict[str, Take] = {}
        missing: dict[str, Piece] = {}
        for piece, digest in zip(self._pieces, self._digests, strict=True):
            if digest not in takes and digest not in missing:
                take = self._segments.find(digest, piece.span.frames)
                if take is None:
                    missing[digest] = piece
                    continue
                takes[digest] = take
                self.reused += 1
            if digest in takes:
                self._done += piece.span.frames
        self._say()
        with ThreadPoolExecutor(at_once, thread_name_prefix="segment") as pool:
            futures = {digest: pool.submit(self._one, piece, digest) for digest, piece in missing.items()}
            wait(futures.values(), return_when=FIRST_EXCEPTION)
            self._stopped = any(future.done() and future.exception() for future in futures.values())
            pool.shutdown(wait=True, cancel_futures=self._stopped)
        failed = [error for future in futures.values() if not future.cancelled() and (error := future.exception())]
        if failed:
            raise next((error for error in failed if not isinstance(error, _Stopped)), failed[0])
        self.made = len(missing)
        takes |= {digest: future.result() for digest, future in futures.items()}
        return [takes[digest] for digest in self._digests]

    def _one(self, piece: Piece, digest: str) -> Take:
        with self._lock:
            self._at.add(piece.index)
            self._say()
        try:
            self._conformer.make(piece, self._segments.own(digest), partial(self._on_frame, self._seen[digest]))
            self._sources.check(piece.sources)
            take = self._segments.adopt(digest, piece.span.frames)
            if take is None:
                raise RenderRefused("the segment is not whole", code="RENDER_FAILED", span=piece.index)
        except (_Stopped, OSError):
            raise
        except Exception as exc:
            raise refusal_of(exc, span=piece.index) from exc
        with self._lock:
            self._at.discard(piece.index)
            self._say()
        return take

    def _on_frame(self, seen: int) -> None:
        """Notes a frame that is seen so many times in the film."""
        if self._stopped:
            raise _Stopped
        with self._lock:
            self._done += seen
            self._say()

    def _say(self) -> None:
        self._tell(Step(done=self._done, spans=tuple(sorted(self._at))))


class _Stopped(Exception):
    """Another piece failed, so this one is not needed."""
