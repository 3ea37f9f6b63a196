"""Puts a film together without encoding anything: takes one after the other, the sound, a track of captions."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from evergreen_server.media.render.subtitles import add_subtitles, samples
from evergreen_server.media.render.takes import Take, packets
from evergreen_server.ports.timeline import Caption

SOUND_RATE = 48_000
_PER_FRAME = 512
"""Units of time of a frame."""


def stitch(path: Path, takes: Sequence[Take], sound: Path, captions: Sequence[Caption], language: str) -> None:
    """Writes a film of takes of one form, whose sound is as long as they are."""
    fps, delay = takes[0].form.fps, max(take.delay for take in takes)
    # The film tells how long its tracks are; in its usual unit, milliseconds, that would seldom be whole frames.
    options = {"movflags": "+faststart", "movie_timescale": str(SOUND_RATE)}
    with av.open(str(path), "w", format="mp4", options=options) as film, av.open(str(sound)) as heard:
        with av.open(str(takes[0].path)) as first:
            picture = film.add_stream_from_template(first.streams.video[0])
        picture.time_base = unit = Fraction(1, fps * _PER_FRAME)
        tracks: list[_Packets] = [_sounds(heard, film.add_stream_from_template(heard.streams.audio[0]))]
        if captions:
            end = Fraction(sum(take.frames for take in takes), fps)
            tracks.append(samples(captions, end, add_subtitles(film, language)))
        film.start_encoding()
        sides = [_Side(film, track) for track in tracks]
        begin = sent = 0
        for take in takes:
            for packet, number in packets(take):
                packet.stream, packet.time_base = picture, unit
                packet.pts, packet.dts = (begin + number) * _PER_FRAME, (sent - delay) * _PER_FRAME
                packet.duration = _PER_FRAME
                for side in sides:
                    side.send(before=Fraction(sent, fps))
                film.mux(packet)
                sent += 1
            begin += take.frames
        for side in sides:
            side.send(before=None)


_Packets: TypeAlias = "Iterator[Packet[Any]]"


class _Side:
    """A track that is sent beside the picture: a muxer holds what comes from one of its tracks alone."""

    def __init__(self, film: OutputContainer, packets: "_Packets") -> None:
        self._film = film
        self._packets = packets
        self._next = next(packets, None)

    def send(self, *, before: Fraction | None) -> None:
        """Sends what begins before a time in seconds; all the rest for None."""
        while (packet := self._next) is not None:
            assert packet.dts is not None
            if before is not None and packet.dts * packet.time_base >= before:
                return
            self._next = next(self._packets, None)
            self._film.mux(packet)


def _sounds(heard: InputContainer, track: AudioStream) -> "Iterator[Packet[AudioStream]]":
    for packet in heard.demux(heard.streams.audio[0]):
        if packet.size:
            packet.stream = track
            yield packet
