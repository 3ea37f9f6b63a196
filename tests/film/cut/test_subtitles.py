"""Subtitles are read back by libraries that others use, as they were written, whatever the text tries to be."""

import html
import re

import pysubs2
import pytest
import webvtt

from evergreen_server.film.cut.captions import Spoken, on_screen, spoken
from evergreen_server.film.cut.subtitles import srt, vtt
from evergreen_server.ports.timeline import Caption

WORD_JOINER = "\u2060"
TOP = r"{\an8}"
FIRST_SECOND = "00:00:01,000 --> 00:00:02,000"
ARABIC = {ord(str(digit)): 0x660 + digit for digit in range(10)}

TEXTS = [
    ("Who is there?",),
    ("-->", "a --> b"),
    (FIRST_SECOND, "00:00:01.000 --> 00:00:02.000"),
    ("12:30:15.5 and 12:30:16.5",),
    (FIRST_SECOND.translate(ARABIC),),
    ("<i>hi</i>", "</ b >< b ><font color=red>"),
    ("&amp; &lt; & &#x41; &nbsp;",),
    ("1 < 2 > 0", "a<b"),
    ("42",),
    ("The answer:", "42"),
    ("٤٢", "४२"),
    (r"{\an8}top", "{y:i}x {hello}"),
    (r"C:\Notes\new", r"\N\h\{"),
    ("WEBVTT", "NOTE x"),
    ("STYLE", "::cue { color: red }"),
    ("<c.red>", "<00:00:01.000>"),
    ("<v Bob>hello", "<"),
    ("<!-- c -->", "]]>"),
    ("שלום עולם", "مرحبا"),
    ("漢字。", "한국어"),
    ("\U0001f469\u200d\U0001f469", "e\u0301"),
]
CAPTIONS = [
    Caption(start=index * 2.0, end=index * 2 + 1.5, lines=lines, top=index % 3 == 0)
    for index, lines in enumerate(TEXTS)
]


def read_srt(text: str) -> list[tuple[int, int, str]]:
    return [
        (each.start, each.end, each.text.removeprefix(TOP).replace("\\N", "\n").replace(WORD_JOINER, ""))
        for each in pysubs2.SSAFile.from_string(text, format_="srt")
    ]


def test_every_text_is_read_back_from_subrip() -> None:
    # What the reader itself writes for a new line is what a text may say.
    captions = [caption for caption in CAPTIONS if not any("\\N" in line for line in caption.lines)]

    assert read_srt(srt(captions)) == [
        (round(caption.start * 1000), round(caption.end * 1000), "\n".join(caption.lines)) for caption in captions
    ]


def test_every_text_is_read_back_from_webvtt() -> None:
    read = webvtt.from_string(vtt(CAPTIONS))

    assert [html.unescape(each.raw_text) for each in read] == ["\n".join(caption.lines) for caption in CAPTIONS]
    assert [(each.start_in_seconds, each.end_in_seconds) for each in read] == [
        (int(caption.start), int(caption.end)) for caption in CAPTIONS
    ]
    assert all("-->" not in each.raw_text for each in read)


def test_no_text_becomes_markup_in_subrip() -> None:
    written = srt([Caption(start=0.0, end=1.0, lines=(r"<b>bold</b> {\i1}", r"a\Nb {y:i}"))])

    assert not re.search(r"<\s*/?[A-Za-z]|\{[\\A-Za-z]|\\N", written)


def test_a_text_of_the_screen_stands_at_the_top() -> None:
    caption = Caption(start=3661.5, end=3662.25, lines=("LONDON",), top=True)

    assert srt([caption]) == "1\n01:01:01,500 --> 01:01:02,250\n{\\an8}LONDON\n\n"
    assert vtt([caption]) == "WEBVTT\n\n01:01:01.500 --> 01:01:02.250 line:0\nLONDON\n\n"


def test_a_film_without_captions_has_files_without_captions() -> None:
    assert srt([]) == ""
    assert list(webvtt.from_string(vtt([]))) == []


@pytest.mark.parametrize(
    "text", ["one\n\n00:00:09,000 --> 00:00:10,000\ntwo", "one\0two", "one\r\n\r\ntwo", "a\u2028\u2028b"]
)
def test_neither_blank_lines_nor_controls_of_a_line_reach_the_files(text: str) -> None:
    line = Spoken(text=text, start=0.0, seconds=5.0)

    for captions in (spoken([line], language="en", end=60.0), on_screen([text], start=0.0, seconds=5.0)):
        assert len(read_srt(srt(captions))) == len(list(webvtt.from_string(vtt(captions)))) == len(captions)
        assert all(line.isprintable() for caption in captions for line in caption.lines)
