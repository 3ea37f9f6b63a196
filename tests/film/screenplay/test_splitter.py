"""Scenes made into shots: how long each is, what it shows, and who is in it."""

import pytest

from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.script import InvalidScript, Timing
from evergreen_server.film.screenplay.splitter import Limits, Outline, split

LIMITS = Limits(longest_clip=10, longest_line=100)


def outline_of(text: str, limits: Limits = LIMITS, timing: Timing | None = None) -> Outline:
    return split(read_script(text), limits, timing=timing)


def visuals(outline: Outline) -> list[list[str]]:
    return [[shot.visual for shot in scene.shots] for scene in outline.scenes]


def test_twenty_seconds_of_script_are_two_shots_of_ten() -> None:
    outline = outline_of("[0:00 – A]\nVisual: One. Two. Three.\n[0:20 – END]\n")

    assert visuals(outline) == [["One.", "Two. Three."]]
    assert [shot.seconds for shot in outline.scenes[0].shots] == [10, 10]
    assert outline.seconds == 20


@pytest.mark.parametrize(
    ("seconds", "shots"),
    [("0:10", ["One. Two."]), ("0:11", ["One.", "Two."]), ("0:31", ["One.", "One.", "Two.", "Two."])],
)
def test_sentences_are_shared_out_in_order(seconds: str, shots: list[str]) -> None:
    assert visuals(outline_of(f"[0:00 – A]\nVisual: One.\n\nTwo.\n[{seconds} – END]\n")) == [shots]


@pytest.mark.parametrize(
    ("body", "visual"),
    [
        ("Narration: “It begins. It ends.”", "A title"),
        ("ON-SCREEN TEXT: HELLO", "A title"),
    ],
)
def test_a_scene_without_a_visual_is_a_picture_of_its_title(body: str, visual: str) -> None:
    assert visuals(outline_of(f"[0:00 – A title]\n{body}\n[0:05 – END]\n")) == [[visual]]


def test_without_a_title_it_is_one_of_its_first_sentence_and_else_of_its_text() -> None:
    outline = outline_of("[0:00]\nNarration: “It begins. It ends.”\n[0:05]\nTEXT:\nHELLO\nALL\n[0:09 – END]\n")

    assert visuals(outline) == [["It begins."], ["HELLO ALL"]]


def test_a_synopsis_is_the_picture_of_a_scene_without_action() -> None:
    assert visuals(outline_of("INT. HOUSE - DAY\n\n= A dog asleep.\n\nADA\nHush.\n")) == [["A dog asleep."]]


def test_a_scene_lasts_as_its_speech_and_at_least_four_seconds() -> None:
    outline = outline_of(f"One.\n\n{'x' * 97}.\n")

    assert outline.timing is Timing.SPEECH
    assert [(scene.seconds, scene.longest) for scene in outline.scenes] == [(4, 4), (7.35, 10)]


def test_the_callers_timing_goes_before_the_headers_and_that_before_the_times() -> None:
    text = "[0:00 – A]\nNarration: One.\n[0:20 – END]\n"

    assert outline_of(text).seconds == 20
    assert outline_of("Timing: speech\n" + text).seconds == 4
    assert outline_of("Timing: speech\n" + text, timing=Timing.SCRIPT).seconds == 20


def test_a_scene_without_a_time_lasts_as_its_speech_beside_others_with_one() -> None:
    outline = outline_of("[0:00 – A]\na\n[0:07 – B]\nNarration: " + "x" * 70 + "\n")

    assert [scene.seconds for scene in outline.scenes] == [7, 5]


def test_the_cast_of_a_shot_is_who_is_named_in_it() -> None:
    outline = outline_of("Cast:\n  Ada = a\n  Ben = b\n[0:00 – A]\nVisual: BEN sees Ada. Nobody. Ada.\n[0:21 – END]\n")

    assert [shot.cast for shot in outline.scenes[0].shots] == [("Ben", "Ada"), (), ("Ada",)]


def test_a_line_that_is_too_long_is_a_fault_of_its_line() -> None:
    with pytest.raises(InvalidScript, match=r"^line 3, column 1: 101 characters are spoken at once; .* at most 100$"):
        outline_of("One.\n\n" + "x" * 101)


def test_a_film_has_at_most_600_shots_and_60_minutes() -> None:
    scenes = "".join(f"[{number // 6}:{number % 6}0 – A]\na\n" for number in range(241))

    with pytest.raises(InvalidScript) as shots:
        outline_of(scenes, Limits(longest_clip=4, longest_line=100))
    assert [fault.line for fault in shots.value.faults] == [401]

    with pytest.raises(InvalidScript) as minutes:
        outline_of(f"[0:00 – A]\na\n[59:59 – B]\nNarration: {'x' * 99}\n", Limits(longest_clip=60, longest_line=100))
    assert [fault.line for fault in minutes.value.faults] == [3]
