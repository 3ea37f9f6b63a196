"""Takes the last frame out of a clip, as large and in the colours in which it is shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from evergreen_server.media.clips import display_of, duration_of, open_container, refusal, upright, video_of
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.pictures import encode
from evergreen_server.ports.media import Picture

__all__ = ["SCALING", "is_hdr", "last", "matrix_of"]

SCALING: Final = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

_HDR: Final = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
_HD_LINES: Final = 720
"""From so many lines on, a video that does not say so is in BT.709."""
# The numbers of H.273, which frames carry, and FFmpeg's names for their tables.
_MATRICES: Final = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU624,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_TAIL_SECONDS: Final = 5.0
"""Decoding begins at least so long before the end: what a frame refers to lies closer, in any clip but a broken one."""


def last(path: Path, limits: MediaLimits) -> Picture:
    """Returns the last frame of a clip: a PNG of its very pixels, or a JPEG where that would be too large.

    Blocks; raises MediaRefused for what has no frame, or is HDR. What follows damage is left out, as players do.
    """
    with open_container(path, limits) as (container, _):
        video = video_of(container, limits)
        if video is None:
            raise refusal("the file holds no video")
        frame = _last(container, video)
        if is_hdr(video, frame):
            raise refusal("the video is HDR, which is not converted")
        shown = display_of(video, frame)
        size = (shown.height, shown.width) if shown.transposed else (shown.width, shown.height)
        image = upright(_rgb(frame, size), shown)
    data, content_type = encode(image, lossless=True, limit=limits.picture_bytes)
    return Picture(data=data, content_type=content_type, width=image.width, height=image.height)


def is_hdr(video: VideoStream, frame: VideoFrame) -> bool:
    """Returns whether a video, or a frame of it, says that it is HDR."""
    return frame.color_trc in _HDR or video.codec_context.color_trc in _HDR


def matrix_of(frame: VideoFrame) -> Colorspace:
    """Returns the table by which the colours of a frame are read; without it every colour would shift."""
    return _MATRICES.get(frame.colorspace, _MATRICES[1 if frame.height >= _HD_LINES else 6])


def _last(container: InputContainer, video: VideoStream) -> VideoFrame:
    """Returns the frame that is shown last; reads a long clip from near its end, and any other as a whole."""
    frame: VideoFrame | None = None
    tail = duration_of(container) - _TAIL_SECONDS
    if tail > 0:
        container.seek(int(tail * av.time_base) + (container.start_time or 0))
        frame = _latest(_decoded(container, video))
        if frame is None:
            # It is shorter than it says, or damaged there.
            container.seek(container.start_time or 0)
    frame = frame or _latest(_decoded(container, video))
    if frame is None:
        raise refusal("no frame of the video can be decoded")
    return frame


def _latest(frames: Iterator[VideoFrame]) -> VideoFrame | None:
    found: VideoFrame | None = None
    for frame in frames:
        if found is None or frame.pts is None or found.pts is None or frame.pts >= found.pts:
            found = frame
    return found


def _decoded(container: InputContainer, video: VideoStream) -> Iterator[VideoFrame]:
    """Yields frames up to what cannot be decoded."""
    try:
        yield from container.decode(video)
    except av.MemoryError:
        raise
    except av.FFmpegError:
        return


def _rgb(frame: VideoFrame, size: tuple[int, int]) -> Image.Image:
    made = VideoReformatter().reformat(
        frame,
        width=size[0],
        height=size[1],
        format="rgb24",
        interpolation=SCALING,
        src_colorspace=matrix_of(frame),
        src_color_range=frame.color_range or None,
        dst_color_range=ColorRange.JPEG,
    )
    image: Image.Image = made.to_image()  # type: ignore[no-untyped-call]  # so in its stubs
    return image
