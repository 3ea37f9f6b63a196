"""Measures media files."""

import av
from av.container import InputContainer

from evergreen_server.providers.runway.rendering.files import LOCAL

__all__ = ["probe"]

_USUAL_RATE, _RATE_MOST = 24.0, 240.0


def probe(*, source: str, kind: str) -> dict[str, float]:
    """Returns a video's size, duration and frame rate, and whether it has sound; a sound's duration from its packets.

    Raises what PyAV raises for a file that it cannot read, and ValueError for one without such a track.
    """
    with av.open(source, options=LOCAL) as container:
        if kind == "audio":
            return {"seconds": _sound_seconds(container)}
        if not container.streams.video:
            raise ValueError("no video stream")
        stream = container.streams.video[0]
        if not stream.width or not stream.height:
            raise ValueError("no pixels")
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        rate = float(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
        return {
            "width": stream.width,
            "height": stream.height,
            "seconds": seconds,
            "frame_rate": min(max(rate, 1.0), _RATE_MOST),
            "sound": float(bool(container.streams.audio)),
        }


def _sound_seconds(container: InputContainer) -> float:
    if not container.streams.audio:
        raise ValueError("no sound")
    # Not as the header says: speech that was written to a pipe claims hours.
    ends = [
        float((packet.pts + (packet.duration or 0)) * packet.time_base)
        for packet in container.demux(container.streams.audio[0])
        if packet.pts is not None and packet.time_base is not None
    ]
    if not ends:
        raise ValueError("no sound")
    return max(ends)
