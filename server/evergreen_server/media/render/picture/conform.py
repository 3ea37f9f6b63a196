"""Makes one piece of a film as a file of its own, in the film's form, which is stitched to others without loss."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path

import av
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from evergreen_server.media.render.picture.blending import blended
from evergreen_server.media.render.picture.footage import footage, paced
from evergreen_server.media.render.picture.lettering import Letters
from evergreen_server.media.render.picture.shaping import Picture, Shaper, black
from evergreen_server.media.render.picture.stills import Still
from evergreen_server.media.render.pieces import Edge, Piece
from evergreen_server.ports.media import MediaRefused
from evergreen_server.ports.rendering import RenderRefused
from evergreen_server.ports.timeline import Blend, Profile, Span

_GROUP_SECONDS = 2
_LOOKAHEAD, _LARGE_LOOKAHEAD = 40, 20
"""How many frames the encoder keeps to look ahead: fewer of large ones, of which 40 would take 2 GiB."""
_LARGE_PIXELS = 2560 * 1440
_THREADS = 2
"""Pinned: the encoder's bytes depend on it."""


class Conformer:
    """Makes the pieces of one film. Of all it does, only `letters` is shared between threads, and never changed."""

    def __init__(self, *, profile: Profile, files: Mapping[str, Path], letters: Letters | None) -> None:
        self._profile = profile
        self._size = (profile.width, profile.height)
        self._files = files
        self._letters = letters

    def make(self, piece: Piece, path: Path, on_frame: Callable[[], None]) -> None:
        """Writes a piece into a file, of which nothing is left in case of an error.

        Raises RenderRefused for a clip that cannot be used, and OSError of the disk.
        """
        try:
            with named(piece.index):
                pictures = self._whole(piece)
                with _encoder(path, self._profile) as encode:
                    for picture in pictures:
                        encode(picture)
                        on_frame()
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _whole(self, piece: Piece) -> Iterator[Picture]:
        """Yields the pictures of a piece as they are seen, blended and with captions."""
        pictures = blended(
            self._pictures(piece.span),
            piece.span.frames,
            self._size,
            before=self._edge(piece.before, piece.index - 1, last=True),
            after=self._edge(piece.after, piece.index + 1, last=False),
        )
        if self._letters is not None and piece.captions:
            pictures = self._letters.drawn(pictures, piece.captions)
        return pictures

    def _edge(self, edge: Edge | None, index: int, *, last: bool) -> tuple[Blend, int, Picture | None] | None:
        if edge is None:
            return None
        if edge.other is None:
            return edge.blend, edge.frames, None
        with named(index):
            return edge.blend, edge.frames, self._edge_picture(edge.other, last=last)

    def _edge_picture(self, span: Span, *, last: bool) -> Picture:
        """Returns the first or the last frame of a neighbour."""
        if span.source is None:
            return black(self._size)
        path = self._files[span.source.sha256]
        if span.still:
            return self._still(path).at(span.frames - 1 if last else 0)
        if last:
            with footage(path) as clip:
                for frame in islice(paced(clip.frames, self._profile.fps), span.frames):
                    # Only the last of them is converted.
                    final = frame
                return Shaper(clip.shown, self._size, self._profile.fit).shape(final)
        with footage(path) as clip:
            return Shaper(clip.shown, self._size, self._profile.fit).shape(next(paced(clip.frames, self._profile.fps)))

    def _pictures(self, span: Span) -> Iterator[Picture]:
        """Yields exactly as many pictures as the span has frames."""
        if span.source is None:
            return repeat(black(self._size), span.frames)
        path = self._files[span.source.sha256]
        if span.still:
            return map(self._still(path).at, range(span.frames))
        return self._clip(path, span.frames)

    def _still(self, path: Path) -> Still:
        return Still(path, self._size, self._profile.fit, self._profile.fps)

    def _clip(self, path: Path, frames: int) -> Iterator[Picture]:
        with footage(path) as clip:
            shaper = Shaper(clip.shown, self._size, self._profile.fit)
            seen: VideoFrame | None = None
            count = 0
            for frame in islice(paced(clip.frames, self._profile.fps), frames):
                if frame is not seen:
                    picture, seen = shaper.shape(frame), frame
                count += 1
                yield picture
        yield from repeat(picture, frames - count)


@contextmanager
def named(index: int) -> Iterator[None]:
    """Says which span it is whose clip cannot be used."""
    try:
        yield
    except MediaRefused as exc:
        raise RenderRefused(str(exc), code="CLIP_UNSUPPORTED", span=index) from exc


@contextmanager
def _encoder(path: Path, profile: Profile) -> Iterator[Callable[[Picture], None]]:
    size, numbers = (profile.width, profile.height), iter(range(2**31))
    # Each group of pictures is closed, and no header depends on what is seen: so pieces of one form can be stitched.
    ahead = _LARGE_LOOKAHEAD if size[0] * size[1] > _LARGE_PIXELS else _LOOKAHEAD
    detail = f"stitchable=1:open-gop=0:keyint={_GROUP_SECONDS * profile.fps}:rc-lookahead={ahead}"
    with av.open(str(path), "w", format="mp4") as container:
        options = {"crf": str(profile.crf), "x264-params": detail}
        stream = container.add_stream("libx264", rate=profile.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        coder = stream.codec_context
        coder.thread_count = _THREADS
        coder.color_primaries, coder.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        coder.colorspace, coder.color_range = Colorspace.ITU709, ColorRange.MPEG

        def encode(picture: Picture) -> None:
            frame = av.VideoFrame.from_ndarray(picture.reshape(-1, size[0]), format="yuv420p")
            frame.pts, frame.time_base = next(numbers), Fraction(1, profile.fps)
            container.mux(stream.encode(frame))

        yield encode
        container.mux(stream.encode())
