"""The scripts in tests/samples/scripts, read and divided."""

import math
from pathlib import Path

import pytest

from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.script import NARRATOR, Script, ScriptFormat, Timing, TransitionKind
from evergreen_server.film.screenplay.splitter import Limits, Outline, split

SCRIPTS = Path(__file__).parents[2] / "samples/scripts"
LIMITS = Limits(longest_clip=10, longest_line=5000)


def script(name: str) -> Script:
    return read_script((SCRIPTS / name).read_text(encoding="utf-8"))


def test_the_lamp_is_read_as_its_writer_meant_it() -> None:
    lamp = script("the-lamp.fountain")

    assert lamp.format is ScriptFormat.FOUNTAIN
    assert (lamp.header.title, lamp.header.aspect, lamp.header.narrator) == ("The Lamp", "16:9", "Bernard")
    assert [(member.name, member.voice) for member in lamp.header.cast] == [("ADA", "Eleanor"), ("BEN", "Billy")]
    assert lamp.preface == "Somebody lights a lamp that everybody had given up."
    assert [(scene.number, scene.setting, scene.line) for scene in lamp.scenes] == [
        ("1", "EXT. HARBOUR - NIGHT", 15),
        ("2", "INT. LIGHTHOUSE STAIRS - NIGHT", 22),
        ("3", "INT. LAMP ROOM - NIGHT", 33),
        ("4", "EXT. SEA - NIGHT", 42),
        ("5", "EXT. HARBOUR - DAWN", 49),
    ]
    assert [scene.transition for scene in lamp.scenes] == [
        None,
        None,
        TransitionKind.DISSOLVE,
        None,
        TransitionKind.BLACK,
    ]
    assert [(line.speaker, line.direction) for scene in lamp.scenes for line in scene.spoken] == [
        (NARRATOR, ""),
        ("BEN", "out of breath"),
        ("ADA", ""),
        (NARRATOR, ""),
        ("BEN", ""),
        (NARRATOR, ""),
    ]
    assert lamp.scenes[0].visuals == (
        "Rain over a small harbour. On the rock behind it stands a lighthouse without light.",
    )


def test_the_orchard_lasts_as_long_as_its_times_say() -> None:
    orchard = script("the-orchard.av.txt")
    outline = split(orchard, LIMITS)

    assert orchard.format is ScriptFormat.AV
    assert (orchard.header.title, orchard.header.narrator) == ("THE ORCHARD", "Maya")
    assert orchard.preface == "Written for this project. CC0, public domain dedication."
    assert [scene.title for scene in orchard.scenes] == [
        "Winter | Bare trees",
        "Spring | Pruning",
        "Blossom",
        "Summer | Waiting",
        "Autumn | Harvest",
    ]
    assert [(line.speaker, line.text[:11]) for line in orchard.scenes[3].spoken] == [
        ("Child", "Forty-one, "),
        (NARRATOR, "Then there "),
    ]
    assert [scene.captions for scene in orchard.scenes] == [
        ("THE ORCHARD\na year in fifty seconds",),
        (),
        (),
        (),
        ("PLANT A TREE.",),
    ]
    assert orchard.scenes[1].sounds == ("wind, a hand saw",)
    assert outline.timing is Timing.SCRIPT
    assert [scene.seconds for scene in outline.scenes] == [10, 10, 8, 12, 10]
    # Twelve seconds are more than a clip can last: the scene's two sentences become two shots of six.
    assert [(shot.visual, shot.seconds) for shot in outline.scenes[3].shots] == [
        ("Green apples under leaves after rain.", 6),
        ("A child walks along the row and counts them.", 6),
    ]


def test_the_night_market_has_a_scene_more_than_headings() -> None:
    market = script("night-market.md")

    assert market.format is ScriptFormat.MARKDOWN
    assert (market.header.title, market.header.aspect) == ("The Night Market", "9:16")
    assert [(scene.number, scene.title) for scene in market.scenes] == [
        ("1", "Six o'clock"),
        ("2", "The smallest kitchen"),
        ("3", "The queue"),
        ("4", "Rain"),
        ("", ""),
        ("5", "Midnight"),
    ]
    assert market.scenes[4].visuals == ("The awning from above, umbrellas opening like flowers.",)
    assert market.scenes[2].captions == ("Tonight: noodles in broth, until they are gone",)
    assert [line.speaker for line in market.scenes[5].spoken] == ["Mei", NARRATOR]
    assert split(market, LIMITS).scenes[1].shots[0].cast == ("Mei",)


def credits_of(outline: Outline) -> int:
    """What the provider's prices make of an outline: 5 a picture, 5 a second of a clip, 1 for 50 spoken characters."""
    shots = [shot for scene in outline.scenes for shot in scene.shots]
    lines = [line for scene in outline.scenes for line in scene.scene.spoken]
    seconds = sum(scene.longest for scene in outline.scenes)
    return int(5 * len(shots) + 5 * seconds + sum(math.ceil(len(line.text) / 50) for line in lines))


@pytest.mark.parametrize(("name", "credits"), [("the-lamp.fountain", 205), ("the-orchard.av.txt", 289)])
def test_the_samples_cost_what_they_were_reckoned_to(name: str, credits: int) -> None:
    assert credits_of(split(script(name), LIMITS)) == credits


def test_what_parsers_of_fountain_get_wrong_is_right() -> None:
    tricky = script("tricky.fountain")

    assert tricky.header.title == "A Tricky Page"
    assert dict(tricky.header.others)["Contact"] == "Somewhere 1\n12345 Nowhere"
    assert tricky.header.cast[0].images == ("images/elodie.png",)
    assert [(scene.number, scene.setting) for scene in tricky.scenes] == [
        ("1A", "EXT. AIRFIELD - DAWN"),
        ("", "INT. Kitchen – Night"),
        ("2-b", "ÖSTERREICH VON OBEN"),
        ("", "I/E. CAR - MOVING"),
        ("", "int. cellar - night"),
    ]
    assert tricky.scenes[0].hint == "A plane in fog."
    assert tricky.scenes[0].visuals == (
        "Fog. A plane waits. Its propeller hangs still, *** and underlined text_with_underscores.",
        "McCLANE Not a cue, this is action with small letters.",
    )
    assert [(line.line, line.speaker, line.direction, line.text) for line in tricky.scenes[0].spoken] == [
        (35, "ÉLODIE", "quietly", "It was *never* about the plane."),
        (37, "ÉLODIE", "beat", "It was about the fog."),
        (43, "McCLANE", "", "Hello, and again."),
        (48, "STEEL", "", "Sing a little, sing a lot"),
    ]
    assert tricky.scenes[1].visuals == ("A kettle.", "INT. THIS IS NO SCENE")
    assert tricky.scenes[1].captions == ("THE END",)
    assert tricky.scenes[2].visuals == ("...and so on.",)
    assert [(line.speaker, line.text) for line in tricky.scenes[2].spoken] == [("MÜLLER & SÖHNE", "NO. NEVER.")]
    assert [(line.speaker, line.text) for line in tricky.scenes[3].spoken] == [("JOHN'S WIFE", "“Drive.”")]
    assert [scene.transition for scene in tricky.scenes] == [
        TransitionKind.DISSOLVE,
        None,
        None,
        TransitionKind.CUT,
        TransitionKind.BLACK,
    ]


@pytest.mark.parametrize("name", sorted(path.name for path in SCRIPTS.iterdir()))
@pytest.mark.parametrize("change", ["bom", "crlf", "cr"])
def test_a_byte_order_mark_and_other_line_ends_change_nothing(name: str, change: str) -> None:
    text = (SCRIPTS / name).read_text(encoding="utf-8")
    changed = {"bom": "\ufeff" + text, "crlf": text.replace("\n", "\r\n"), "cr": text.replace("\n", "\r")}[change]

    assert read_script(changed) == read_script(text)
