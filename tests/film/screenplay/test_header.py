"""Settings and cast at the top of a script, and the names in it."""

import pytest

from evergreen_server.film.screenplay.cast import Names
from evergreen_server.film.screenplay.header import HeaderReader, key_and_value
from evergreen_server.film.screenplay.script import NARRATOR, CastMember, Faults, InvalidScript, Timing


def reader_of(*lines: str) -> tuple[HeaderReader, Faults]:
    faults = Faults()
    reader = HeaderReader(faults)
    for number, line in enumerate(lines, start=1):
        if pair := key_and_value(line):
            reader.set(number, *pair)
        else:
            reader.go_on(number, line)
    return reader, faults


def test_known_keys_are_read_and_unknown_ones_kept() -> None:
    reader, faults = reader_of(
        "TITLE: One",
        "   two",
        "Aspect: 16:9",
        "language: pt-BR",
        "Narrator: Maya",
        "Music: audio/bed.mp3",
        "Timing: speech",
        "Mood: calm",
        "    and slow",
        "Cast:",
        "    Ada = a woman; voice Eleanor; images/ada.png; images/ada-2.JPG",
        "    - Ben",
    )
    header = reader.header()

    assert (header.title, header.aspect, header.language) == ("One two", "16:9", "pt-BR")
    assert (header.narrator, header.music, header.timing) == ("Maya", "audio/bed.mp3", Timing.SPEECH)
    assert header.others == (("Mood", "calm\nand slow"),)
    assert header.cast == (
        CastMember(
            name="Ada", description="a woman", voice="Eleanor", images=("images/ada.png", "images/ada-2.JPG"), line=11
        ),
    )
    with pytest.raises(InvalidScript, match=r"^line 12, column 1: a cast line is NAME = description"):
        faults.check()


@pytest.mark.parametrize(
    "line",
    [
        "Aspect: wide",
        "Aspect: 0:9",
        "Language: English please",
        "Narrator: ../Maya",
        "Music: images/bed.png",
        "Music: audio/../bed.mp3",
        "Music: /etc/passwd",
        "Timing: slow",
        "Style: " + "x" * 2_001,
        "Cast: = nobody",
        "Cast: 123 = no letter",
        "Cast: A/../B\\C = a slash that leads back",
        "Cast: Narrator = a voice",
        "Cast: " + "A" * 61 + " = a long name",
        "Cast: Ada = " + "x" * 501,
        "Cast: Ada = a; images/../../etc/passwd.png",
        "Cast: Ada = a; images/sub/ada.png",
        "Cast: Ada = a; ../images/ada.png",
        "Cast: Ada = a; /images/ada.png",
        "Cast: Ada = a; images\\ada.png",
        "Cast: Ada = a; images/.ada.png",
        "Cast: Ada = a; images/con.png",
        "Cast: Ada = a; images/ada.svg",
        "Cast: Ada = a; https://example.org/ada.png",
        "Cast: Ada = a; voice ../Maya",
        "Cast: Ada = a; voice Maya; voice Eleanor",
        "Cast: Ada = a; images/1.png; images/2.png; images/3.png; images/4.png",
    ],
)
def test_a_setting_of_another_form_is_a_fault_of_its_line(line: str) -> None:
    reader, faults = reader_of("Title: T", line)
    reader.header()

    with pytest.raises(InvalidScript) as caught:
        faults.check()
    assert [fault.line for fault in caught.value.faults] == [2]


def test_what_is_given_twice_is_a_fault() -> None:
    reader, faults = reader_of("Title: T", "title: U", "Cast:", "  Ada = a", "  ADA = b")
    reader.header()

    with pytest.raises(InvalidScript) as caught:
        faults.check()
    assert [fault.line for fault in caught.value.faults] == [2, 5]


def test_the_cast_has_at_most_fifty_members() -> None:
    reader, faults = reader_of("Cast:", *(f"  A{number} = a" for number in range(51)))

    assert len(reader.header().cast) == 50
    with pytest.raises(InvalidScript) as caught:
        faults.check()
    assert [fault.line for fault in caught.value.faults] == [52]


NAMES = Names(
    [
        CastMember(name="Will", description="", line=1),
        CastMember(name="O'BRIEN", description="", line=2),
        CastMember(name="李雷", description="", line=3),
    ]
)


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("WILL", "Will"),
        (" o'brien ", "O'BRIEN"),
        ("Narrator", NARRATOR),
        ("V.O.", NARRATOR),
        ("", NARRATOR),
        ("Bo", "Bo"),
    ],
)
def test_a_speaker_is_named_as_in_the_cast(name: str, speaker: str) -> None:
    assert NAMES.speaker(name) == speaker


def test_the_cast_is_found_in_a_text_in_the_order_of_mention() -> None:
    assert NAMES.mentioned("O'Brien and WILL meet O'BRIEN; he will go, willing.") == ("O'BRIEN", "Will")
    assert NAMES.mentioned("李雷 Willow") == ("李雷",)
    assert Names([]).mentioned("Will") == ()
