"""Reads what a video or sound file holds, and makes a poster of it, both as displayed: rotated, flipped, stretched.

FFmpeg gets one named container format, the file itself and nothing that it refers to, and bounds on the size of a frame
and on the number of frames and packets. Memory and time are bounded by the process in which it runs.
"""

import io
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.sidedata.sidedata import SideData, Type
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.signatures import DEMUXERS, HEAD_BYTES, as_sound, misfit, sniff
from evergreen_server.ports.media import Clip, MediaRefused
from evergreen_server.ports.specs import Kind

_BOX_NAME = re.compile(rb"[ -~\xa9]{4}")
_BOXES = 10_000
_POSTER_WIDTH = 1280
_POSTER_QUALITY = 85
_POSTER_AT_SECONDS = 0.75
_POSTER_FRAMES = 150
_LONGEST_SECONDS = 10_000_000.0
"""A file that claims to last longer is measured, like one that states no duration."""
_PACKETS = 1_000_000
_MATRIX = struct.Struct("=9i")
_MAX_PIXEL_ASPECT = 10
"""The most extreme pixel aspect ratio that is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """How a frame is shown: its rows as columns, then flipped, in this size."""

    width: int
    height: int
    transposed: bool = False
    mirrored: bool = False
    upside_down: bool = False


def probe(path: Path, limits: MediaLimits) -> Clip:
    """Reads the container and its first frame. Blocks; raises MediaRefused if there is neither picture nor sound."""
    with open_container(path, limits) as (container, content_type):
        video = video_of(container, limits)
        if video is not None:
            frame, measured = _scan(container, video, whole=not duration_of(container))
            shown = display_of(video, frame)
            return Clip(
                content_type=content_type,
                width=shown.width,
                height=shown.height,
                duration_seconds=duration_of(container) or measured,
                codec=video.codec_context.name,
                frame_rate=float(video.average_rate or 0),
            )
        if not container.streams.audio:
            raise refusal("the file holds neither picture nor sound")
        sound = container.streams.audio[0]
        check_codec(sound)
        return Clip(
            content_type=as_sound(content_type),
            width=0,
            height=0,
            duration_seconds=duration_of(container) or _scan(container, sound, whole=True)[1],
            codec=sound.codec_context.name,
        )


def poster(path: Path, limits: MediaLimits) -> bytes:
    """Makes a JPEG, at most 1280 pixels wide, of a frame near the start. Blocks; raises MediaRefused."""
    with open_container(path, limits) as (container, _):
        video = video_of(container, limits)
        if video is None:
            raise refusal("the file holds no video")
        at = min(_POSTER_AT_SECONDS, duration_of(container) / 2)
        if at:
            container.seek(int(at * av.time_base))
        for number, frame in enumerate(_frames(container, video)):
            if (frame.time or 0.0) >= at or number >= _POSTER_FRAMES:
                break
        return _jpeg(frame, display_of(video, frame))


@contextmanager
def open_container(
    path: Path, limits: MediaLimits, *, decoders: Sequence[str] = ()
) -> Iterator[tuple[InputContainer, str]]:
    """Opens a file as what its first bytes say it is. Raises what FFmpeg raises for a broken one.

    `decoders` are those by which opening may look at frames, which of a picture takes 40 times as long as the rest;
    none are all of them. What is read afterwards may be decoded by any.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    content_type = sniff(head)
    demuxer = DEMUXERS.get(content_type or "")
    if content_type is None or demuxer is None:
        raise refusal(misfit(head, Kind.VIDEO))
    if demuxer == "mp4":
        _check_whole(path, content_type)
    # A disguised playlist is parsed as the named format, and could open nothing but files. Opening already decodes
    # frames, so the bounds are set here; more threads would hold more frames.
    with av.open(
        f"file:{path}",
        "r",
        format=demuxer,
        options={
            "protocol_whitelist": "file",
            "max_pixels": str(limits.frame_pixels),
            "threads": "1",
            **({"codec_whitelist": ",".join(decoders)} if decoders else {}),
        },
        metadata_errors="replace",
        timeout=limits.work_seconds,
    ) as container:
        for stream in container.streams.video:
            if getattr(stream, "codec_context", None):
                stream.codec_context.thread_count = 1
                stream.codec_context.options = {"max_pixels": str(limits.frame_pixels)}
        yield container, content_type


def _check_whole(path: Path, content_type: str) -> None:
    """Refuses an MP4 that ends within a box: where its index comes first, FFmpeg would not notice."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        for _ in range(_BOXES):
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4])
            # The last box may extend to the end of the file, and other bytes may follow it.
            if length < 8 or not _BOX_NAME.fullmatch(head[4:8]):
                return
            at += length
            if at > size:
                raise refusal(f"the file is broken or truncated ({content_type})")


def video_of(container: InputContainer, limits: MediaLimits) -> VideoStream | None:
    """Finds the video stream; the cover of an album is not one."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        check_codec(stream)
        width, height = stream.codec_context.width, stream.codec_context.height
        if width < 1 or height < 1:
            raise refusal("the video has no picture size")
        if width * height > limits.frame_pixels:
            raise refusal(f"the video has {width}x{height} pixels, more than {limits.frame_pixels} in all")
        return stream
    return None


def check_codec(stream: Stream) -> None:
    # The stubs do not say so, but a stream in a codec that FFmpeg does not know has no context.
    if not getattr(stream, "codec_context", None):
        raise refusal("the file's codec is not known")


def duration_of(container: InputContainer) -> float:
    """Returns the duration that the file states, in seconds; 0 where it states none, or an implausible one."""
    known = [
        float(stream.duration * stream.time_base)
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.duration is not None and stream.time_base is not None
    ]
    said = container.duration / av.time_base if container.duration is not None else max(known, default=0.0)
    return said if 0 < said <= _LONGEST_SECONDS else 0.0


def _scan(
    container: InputContainer, stream: VideoStream | AudioStream, *, whole: bool
) -> tuple[VideoFrame | None, float]:
    """Finds a video's first frame, the only source of how it is shown; measures a stream that is read as a `whole`."""
    frame: VideoFrame | None = None
    begin, end = None, Fraction(0)
    packets = container.demux(stream)
    for number in range(_PACKETS):
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            # What comes before damage is measured.
            break
        if packet is None:
            break
        if packet.pts is not None and packet.time_base is not None:
            begin = packet.pts * packet.time_base if begin is None else min(begin, packet.pts * packet.time_base)
            end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        if isinstance(stream, VideoStream) and frame is None and number < _POSTER_FRAMES:
            try:
                frame = next(iter(stream.decode(packet)), None)
            except av.FFmpegError:
                frame = None
        searching = isinstance(stream, VideoStream) and frame is None and number < _POSTER_FRAMES
        if not whole and not searching:
            break
    measured = float(end - (begin or 0))
    return frame, measured if 0 < measured <= _LONGEST_SECONDS else 0.0


def display_of(video: VideoStream, frame: VideoFrame | None) -> Display:
    """Returns how a video is shown, by its stream and its first frame."""
    width, height = video.codec_context.width, video.codec_context.height
    ratio = video.sample_aspect_ratio
    if ratio and 1 / Fraction(_MAX_PIXEL_ASPECT) <= ratio <= _MAX_PIXEL_ASPECT:
        width = max(1, round(width * ratio))
    # Its stubs call it a mapping of texts.
    sides = cast(Iterable[SideData], frame.side_data if frame is not None else ())
    found = [matrix for side in sides if side.type is Type.DISPLAYMATRIX and len(matrix := bytes(side)) == _MATRIX.size]
    if not found:
        return Display(width=width, height=height)
    across_by_x, down_by_x, _, across_by_y, down_by_y, *_ = _MATRIX.unpack(found[0])
    if abs(across_by_x) + abs(down_by_y) >= abs(across_by_y) + abs(down_by_x):
        return Display(width=width, height=height, mirrored=across_by_x < 0, upside_down=down_by_y < 0)
    return Display(width=height, height=width, transposed=True, mirrored=across_by_y < 0, upside_down=down_by_x < 0)


def _frames(container: InputContainer, video: VideoStream) -> Iterator[VideoFrame]:
    """Decodes frames; damage after the first one only ends them."""
    frame: VideoFrame | None = None
    try:
        for frame in container.decode(video):
            yield frame
    except av.FFmpegError:
        if frame is None:
            raise
    if frame is None:
        raise refusal("no frame of the video can be decoded")


def _jpeg(frame: VideoFrame, shown: Display) -> bytes:
    width = min(shown.width, _POSTER_WIDTH)
    height = max(1, round(shown.height * width / shown.width))
    size = (height, width) if shown.transposed else (width, height)
    image: Image.Image = frame.to_image(width=size[0], height=size[1])  # type: ignore[no-untyped-call]  # so in its stubs
    target = io.BytesIO()
    upright(image, shown).save(target, format="JPEG", quality=_POSTER_QUALITY)
    return target.getvalue()


def upright(image: Image.Image, shown: Display) -> Image.Image:
    """Returns a frame's picture as it is shown."""
    if shown.transposed:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    if shown.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if shown.upside_down:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image


def refusal(message: str) -> MediaRefused:
    return MediaRefused(message, reason="MEDIA_REFUSED")
