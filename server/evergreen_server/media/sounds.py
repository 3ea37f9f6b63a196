"""Measures sounds by decoding them completely, within the bounds that clips have."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from evergreen_server.media.clips import check_codec, duration_of, open_container, refusal, video_of
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.signatures import HEAD_BYTES, as_sound
from evergreen_server.ports.media import Clip

_SHORTER_SECONDS, _SHORTER_PART = 0.5, 0.02
"""By how much a sound may be shorter than its file states: encoders count silence that decoders leave out."""
_XING = re.compile(rb"(?:Xing|Info)(\0\0\0[\0-\x0f])")
_UNKNOWN_LENGTH = 0xFFFFFFFF


def hear(path: Path, limits: MediaLimits) -> Clip:
    """Decodes a whole sound. Blocks; raises MediaRefused if there is none, or less of it than the file states.

    What follows damage is left out, as players do: some files end with bytes of another kind.
    """
    with open_sound(path, limits) as (container, sound, content_type):
        seconds = 0.0
        with suppress(av.FFmpegError):
            for frame in container.decode(sound):
                seconds += frame.samples / frame.sample_rate
        # FFmpeg guesses the length of an MP3 from that of the file, so that it tells nothing.
        stated = 0.0 if content_type in ("audio/mpeg", "audio/aac") else duration_of(container)
        if not seconds or seconds < stated - max(_SHORTER_SECONDS, _SHORTER_PART * stated) or _cut_off(path):
            raise refusal(f"the file is broken or truncated ({content_type})")
        return Clip(
            content_type=as_sound(content_type),
            width=0,
            height=0,
            duration_seconds=seconds,
            codec=sound.codec_context.name,
        )


@contextmanager
def open_sound(path: Path, limits: MediaLimits) -> Iterator[tuple[InputContainer, AudioStream, str]]:
    """Opens a sound with its content type. Raises MediaRefused if the file holds none, or pictures too."""
    with open_container(path, limits) as (container, content_type):
        if video_of(container, limits) is not None or not container.streams.audio:
            raise refusal(f"the file holds no sound alone ({content_type})")
        sound = container.streams.audio[0]
        check_codec(sound)
        yield container, sound, content_type


def _cut_off(path: Path) -> bool:
    """Returns whether an MP3 or WAV has fewer bytes than it states; FFmpeg would not notice."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    stated = 0
    if head.startswith(b"RIFF"):
        # Writers that did not know the length left all bits set, or none.
        stated = int.from_bytes(head[4:8], "little")
        stated = 0 if stated == _UNKNOWN_LENGTH else stated + 8 * (stated > 0)
    elif found := _XING.search(head):
        # Frames and bytes, of which the flags say whether they are there.
        flags, fields = int.from_bytes(found[1]), head[found.end() :]
        stated = int.from_bytes(fields[4 * (flags & 1) :][:4]) if flags & 2 else 0
    return path.stat().st_size < stated
