"""Captions in a film: a track of texts, or drawn into the picture."""

from dataclasses import replace
from pathlib import Path

import av
import numpy
import pytest

from evergreen_server.media.render.picture import shaping
from evergreen_server.media.render.picture.lettering import Letters
from evergreen_server.media.render.pieces import Shown
from evergreen_server.ports.timeline import Caption, Captions, Span
from tests.media.render.reel import SMALL, Cutting, Film, clip, of, texts

CAPTIONS = (
    Caption(start=0.25, end=1.25, lines=("The lamp is lit,", "& nobody <came>")),
    Caption(start=0.75, end=1.0, lines=("BRISTOL",), top=True),
    Caption(start=1.5, end=1.75, lines=("Über\nall",)),
)
BURNED, TRACK = (replace(SMALL, captions=kind) for kind in (Captions.BURNED, Captions.TRACK))


@pytest.fixture
def black() -> Span:
    return Span(source=None, frames=48)


async def test_a_track_tells_each_text_for_its_time(cutting: Cutting, black: Span) -> None:
    made, film = await cutting.film(of(black, captions=CAPTIONS, language="pt-BR"), TRACK)

    assert texts(film.path) == [
        (0.25, 0.75, "The lamp is lit,\n& nobody <came>"),
        (0.75, 1.0, "BRISTOL\nThe lamp is lit,\n& nobody <came>"),
        (1.0, 1.25, "The lamp is lit,\n& nobody <came>"),
        (1.5, 1.75, "Über all"),
    ]
    with av.open(str(film.path)) as container:
        track = container.streams.subtitles[0]
        assert (track.codec_context.name, track.metadata["language"]) == ("mov_text", "por")
        assert [text.dialogue for packet in container.demux(track) for text in packet.decode()][:1] == [
            b"The lamp is lit,\n& nobody <came>"
        ]
    assert film.starts == {"video": 0, "audio": 0, "subtitle": 0}
    assert film.lengths["audio"] == film.lengths["video"] == 2
    assert (made.warnings, len(film.pictures)) == ((), 48)


async def test_captions_that_come_late_in_a_long_film_are_in_the_track(cutting: Cutting) -> None:
    late = (Caption(start=29.0, end=29.5, lines=("At last",)),)

    _, film = await cutting.film(
        of(Span(source=None, frames=24 * 30), captions=late), replace(TRACK, width=64, height=64)
    )

    assert texts(film.path) == [(29.0, 29.5, "At last")]
    assert len(film.pictures) == 24 * 30


async def test_a_film_of_captions_in_files_has_no_track(cutting: Cutting, black: Span) -> None:
    _, film = await cutting.film(of(black, captions=CAPTIONS))

    assert set(film.lengths) == {"video", "audio"}
    assert lit(film) == set()


def lit(film: Film, rows: slice = slice(None)) -> set[int]:
    """The frames of a black film in which something white is seen."""
    return {number for number, picture in enumerate(film.pictures) if picture[rows].max() > 180}


async def test_burned_captions_are_seen_in_their_frames_alone_in_white_with_a_dark_outline(
    cutting: Cutting, tmp_path: Path
) -> None:
    plain = replace(CAPTIONS[0], lines=("The lamp is lit,", "and nobody came."))
    path = clip(tmp_path / "1.mp4", frames=48, marked=False)

    made, film = await cutting.film(of(cutting.span(path, 48), captions=(plain, CAPTIONS[1])), BURNED)
    _, bare = await cutting.film(of(cutting.span(path, 48), captions=()), BURNED)

    differing = [
        {number for number in range(48) if _differ(film, bare, number, rows)} for rows in (slice(45, 90), slice(0, 25))
    ]
    assert differing == [set(range(6, 30)), set(range(18, 24))]
    written = film.pictures[10][60:88].astype(int)
    assert written.max() > 215
    assert written.sum(axis=-1).min() < 60 < bare.pictures[10][60:88].astype(int).sum(axis=-1).min()
    # In the middle: as much of it on the left as on the right.
    change = numpy.abs(film.pictures[10].astype(int) - bare.pictures[10]).sum(axis=(0, 2))
    assert change[:80].sum() == pytest.approx(change[80:].sum(), rel=0.25)
    assert (made.warnings, made.copied, set(film.lengths)) == ((), False, {"video", "audio"})


def _differ(film: Film, bare: Film, number: int, rows: slice) -> bool:
    return bool(numpy.abs(film.pictures[number][rows].astype(int) - bare.pictures[number][rows]).max() > 60)


async def test_letters_that_the_font_lacks_go_into_a_track(cutting: Cutting, black: Span) -> None:
    captions = (Caption(start=0, end=1, lines=("Hello,", "世界 🎬")),)

    made, film = await cutting.film(of(black, captions=captions), BURNED)

    assert texts(film.path) == [(0.0, 1.0, "Hello,\n世界 🎬")]
    assert lit(film) == set()
    assert made.warnings == (
        "CAPTION_GLYPHS_MISSING: the font has no 世 界 🎬; the captions are in a track of the film instead",
    )


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("Plain, isn't it? “Yes…”", ""),
        ("Ähre", "Ä"),
        ("A\u0308hre", "Ä"),
        ("q\u0301", "\u0301"),
        ("a\u20dd", "\u20dd"),
        ("日本", "日本"),
        ("\u0645\u0633", "\u0633\u0645"),
        ("\u0939\u093f", "\u0939\u093f"),
        ("heart\ufe0f, soft\u00adly\u200b\u202e", ""),
    ],
)
def test_each_letter_and_mark_that_would_be_seen_as_a_box_is_missing(line: str, missing: str) -> None:
    assert Letters(font="", size=(160, 90), shaping=True).missing([line]) == missing


@pytest.mark.parametrize(
    ("line", "unshaped"),
    [
        ("Hello", ""),
        ("日本", ""),
        ("\u0645\u0633", "\u0633\u0645"),
        ("\u05e9\u05dc", "\u05dc\u05e9"),
        ("\u0e17\u0e35", "\u0e35"),
    ],
)
def test_letters_that_have_to_be_joined_or_turned_are_not_drawn_where_nothing_can_do_that(
    line: str, unshaped: str
) -> None:
    assert Letters(font="", size=(160, 90), shaping=False).unshaped([line]) == unshaped
    assert Letters(font="", size=(160, 90), shaping=True).unshaped([line]) == ""


async def test_marks_that_the_font_lacks_are_named_by_their_numbers(cutting: Cutting, black: Span) -> None:
    captions = (Caption(start=0, end=1, lines=("q\u0301" + "".join(map(chr, range(0x4E00, 0x4E20))),)),)

    made, _ = await cutting.film(of(black, captions=captions), BURNED)

    assert "has no U+0301 一" in made.warnings[0]
    assert "and 13 more" in made.warnings[0]


async def test_a_font_that_cannot_be_read_makes_a_track(cutting: Cutting, tmp_path: Path, black: Span) -> None:
    (tmp_path / "font.ttf").write_bytes(b"no font")
    cutting.caption_font = str(tmp_path / "font.ttf")

    made, film = await cutting.film(of(black, captions=CAPTIONS), BURNED)

    assert len(texts(film.path)) == 4
    assert [warning.partition(":")[0] for warning in made.warnings] == ["CAPTION_FONT_UNREADABLE"]


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (64, 64), (4096, 64), (64, 4096)])
@pytest.mark.parametrize("line", ["W" * 42, "W" * 400, "", "a\tb  \n c"])
def test_any_line_has_room_in_any_frame(size: tuple[int, int], line: str) -> None:
    letters = Letters(font="", size=size, shaping=True)
    shown = [Shown(start=0, end=1, lines=(line, line), top=top) for top in (False, True)]

    (drawn,) = letters.drawn(iter([shaping.black(size)]), shown)

    luma = shaping.planes(drawn, size)[0]
    assert luma.shape == (size[1], size[0])
    assert (luma.max() > 100) == bool(line)
    if len(line) == 42 and min(size) > 100:
        assert luma[:, : size[0] // 40].max() <= 16
