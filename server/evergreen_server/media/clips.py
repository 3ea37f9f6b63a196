"""Reads what a video or sound file holds, and makes a poster of it.

FFmpeg parses these files inside this process. Its work here is short by construction: one named container
format, the file itself and nothing that it refers to, a bound on every read, on the size of a frame and on
the number of frames. A decoder that loops for ever within one frame could still not be interrupted: it
would keep its thread, and `Workers` would give up on it.
"""

import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from evergreen_server.jobs.media import Clip, MediaRefused
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.signatures import HEAD_BYTES, as_sound, sniff

_DEMUXERS = {
    "video/mp4": "mp4",
    "video/quicktime": "mp4",
    "video/3gpp": "mp4",
    "audio/mp4": "mp4",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/ogg": "ogg",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/aac": "aac",
}
_BOX_NAME = re.compile(rb"[ -~\xa9]{4}")
_BOXES = 10_000
_POSTER_WIDTH = 1280
_POSTER_QUALITY = 85
_POSTER_AT_SECONDS = 0.75
_POSTER_FRAMES = 150
_BROKEN = (av.FFmpegError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError)


def probe(path: Path, limits: MediaLimits) -> Clip:
    """Reads the container's headers. Blocks; raises MediaRefused if there is neither picture nor sound."""
    with _opened(path, limits) as (container, content_type):
        duration = _duration(container)
        video = _video(container, limits)
        if video is not None:
            context = video.codec_context
            return Clip(
                content_type=content_type,
                width=context.width,
                height=context.height,
                duration_seconds=duration,
                codec=context.name,
                frame_rate=float(video.average_rate or 0),
            )
        if not container.streams.audio:
            raise _refused("the file holds neither picture nor sound")
        sound = container.streams.audio[0]
        _check_codec(sound)
        return Clip(
            content_type=as_sound(content_type),
            width=0,
            height=0,
            duration_seconds=duration,
            codec=sound.codec_context.name,
            frame_rate=0.0,
        )


def poster(path: Path, limits: MediaLimits, *, clock: Callable[[], float] = time.monotonic) -> bytes:
    """Makes a JPEG, at most 1280 pixels wide, of a frame near the start. Blocks; raises MediaRefused."""
    until = clock() + limits.work_seconds
    with _opened(path, limits) as (container, _):
        video = _video(container, limits)
        if video is None:
            raise _refused("the file holds no video")
        # One thread per stream: more would multiply the frames that a decoder holds.
        video.codec_context.thread_count = 1
        video.codec_context.options = {"max_pixels": str(limits.frame_pixels)}
        at = min(_POSTER_AT_SECONDS, _duration(container) / 2)
        container.seek(int(at * av.time_base))
        for number, frame in enumerate(_frames(container, video)):
            if (frame.time or 0.0) >= at or number >= _POSTER_FRAMES:
                break
            if clock() > until:
                raise _refused(f"the video took longer than {limits.work_seconds:g} s to decode")
        return _jpeg(frame)


@contextmanager
def _opened(path: Path, limits: MediaLimits) -> Iterator[tuple[InputContainer, str]]:
    """Opens a file as what its first bytes say it is, and turns all that can go wrong inside into a refusal."""
    with path.open("rb") as file:
        content_type = sniff(file.read(HEAD_BYTES))
    demuxer = _DEMUXERS.get(content_type or "")
    if content_type is None or demuxer is None:
        raise _refused(f"the file is {content_type or 'of no known kind'}, not a video or sound that can be read")
    if demuxer == "mp4":
        _check_whole(path, content_type)
    try:
        # A playlist in disguise would be parsed as the named format, and could open nothing but files.
        with av.open(
            f"file:{path}",
            "r",
            format=demuxer,
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
            timeout=limits.work_seconds,
        ) as container:
            yield container, content_type
    except _BROKEN as exc:
        raise _refused(f"the file is broken or truncated ({content_type})") from exc


def _check_whole(path: Path, content_type: str) -> None:
    """Refuses an MP4 that ends within a box: where its index stands first, FFmpeg would not miss the rest."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        for _ in range(_BOXES):
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4])
            # The last box may go on to the end of the file, and what is no box may follow it.
            if length < 8 or not _BOX_NAME.fullmatch(head[4:8]):
                return
            at += length
            if at > size:
                raise _refused(f"the file is broken or truncated ({content_type})")


def _video(container: InputContainer, limits: MediaLimits) -> VideoStream | None:
    """Finds the moving picture; the cover of an album is none."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        _check_codec(stream)
        width, height = stream.codec_context.width, stream.codec_context.height
        if width < 1 or height < 1:
            raise _refused("the video has no picture size")
        if width * height > limits.frame_pixels:
            raise _refused(f"the video has {width}x{height} pixels, more than {limits.frame_pixels} in all")
        return stream
    return None


def _check_codec(stream: Stream) -> None:
    # The stubs do not say so, but a stream in a codec that FFmpeg does not know has no context.
    if not getattr(stream, "codec_context", None):
        raise _refused("the file's codec is not known")


def _duration(container: InputContainer) -> float:
    if container.duration is not None:
        return max(0.0, container.duration / av.time_base)
    known = [
        float(stream.duration * stream.time_base)
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.duration is not None and stream.time_base is not None
    ]
    return max(known, default=0.0)


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
        raise _refused("no frame of the video can be decoded")


def _jpeg(frame: VideoFrame) -> bytes:
    width = min(frame.width, _POSTER_WIDTH)
    height = max(1, round(frame.height * width / frame.width))
    target = io.BytesIO()
    image: Image.Image = frame.to_image(width=width, height=height)  # type: ignore[no-untyped-call]  # so in its stubs
    image.save(target, format="JPEG", quality=_POSTER_QUALITY)
    return target.getvalue()


def _refused(message: str) -> MediaRefused:
    return MediaRefused(message, reason="MEDIA_REFUSED")
