"""A track of captions: text samples as MP4 holds them."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.container import OutputContainer
from av.packet import Packet
from av.subtitles.stream import SubtitleStream

from evergreen_server.ports.timeline import Caption

_TICKS = 1000
"""Units of time in a second."""
_LONGEST_BYTES = 65_000
"""A sample tells its length in two bytes."""
# FFmpeg makes the track's description, font, size and colours, of this.
_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
# MP4 names languages by three letters, language tags by two where there are two.
_PAIRS = """
af:afr ar:ara az:aze be:bel bg:bul bn:ben bs:bos ca:cat cs:ces cy:cym da:dan de:deu el:ell en:eng es:spa et:est eu:eus
fa:fas fi:fin fil:fil fr:fra ga:gle gl:glg gu:guj he:heb hi:hin hr:hrv hu:hun hy:hye id:ind is:isl it:ita ja:jpn ka:kat
kk:kaz km:khm kn:kan ko:kor lo:lao lt:lit lv:lav mk:mkd ml:mal mn:mon mr:mar ms:msa my:mya nb:nob ne:nep nl:nld nn:nno
no:nor pa:pan pl:pol pt:por ro:ron ru:rus si:sin sk:slk sl:slv sq:sqi sr:srp sv:swe sw:swa ta:tam te:tel th:tha tl:tgl
tr:tur uk:ukr ur:urd uz:uzb vi:vie zh:zho zu:zul
"""
_LANGUAGES = dict(pair.split(":") for pair in _PAIRS.split())


def add_subtitles(film: OutputContainer, language: str) -> SubtitleStream:
    """Adds a track of captions, in the language of a tag; one that is not known is left open."""
    stream = film.add_stream("mov_text")
    stream.codec_context.subtitle_header = _HEADER
    stream.codec_context.time_base = stream.time_base = Fraction(1, _TICKS)
    tag = language.lower().replace("_", "-").partition("-")[0]
    stream.metadata["language"] = _LANGUAGES.get(tag, tag if tag in _LANGUAGES.values() else "und")
    return stream


def samples(captions: Sequence[Caption], end: Fraction, stream: SubtitleStream) -> "Iterator[Packet[SubtitleStream]]":
    """Yields one packet for each stretch of time in which the same texts are seen, those at the top first."""
    last = int(end * _TICKS)
    times = [(min(round(each.start * _TICKS), last), min(round(each.end * _TICKS), last)) for each in captions]
    cuts = sorted({0, last, *(time for pair in times for time in pair)})
    for begin, until in pairwise(cuts):
        seen = [caption for caption, (start, stop) in zip(captions, times, strict=True) if start <= begin < stop]
        if not seen:
            # The muxer fills gaps.
            continue
        lines = [line for caption in sorted(seen, key=lambda caption: not caption.top) for line in caption.lines]
        # A line that ended in the middle of one would read as two.
        text = "\n".join(" ".join(line.split()) for line in lines).encode()[:_LONGEST_BYTES]
        text = text.decode(errors="ignore").encode()
        packet: Packet[Any] = Packet(len(text).to_bytes(2, "big") + text)
        packet.stream, packet.time_base = stream, Fraction(1, _TICKS)
        packet.pts = packet.dts = begin
        packet.duration = until - begin
        yield packet
