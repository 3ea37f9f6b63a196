"""Prompts fit their models, and are cut where it hurts least."""

import random

import pytest

from evergreen_server.film.composing.prompts import clip_prompt, picture_prompt, shortened, utf16_units
from evergreen_server.film.model import Actor, Camera
from tests.film.planning import line

WORDS = ("A", "pier.", "fog", "🌊", "e\u0301", "海。", "x" * 50, "!", "\n", "Mr.")
ADA = Actor(name="Ada", description="a woman of sixty. She is tall")


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("One. Two. Three.", 16, "One. Two. Three."),
        ("One. Two. Three.", 15, "One. Two."),
        ("One. Two. Three.", 9, "One. Two."),
        ("One. Two. Three.", 8, "One."),
        ("A boat turns", 8, "A boat"),
        ("A boat  turns", 8, "A boat"),
        ("Lighthouse", 5, "Light"),
        ("🌊🌊🌊", 5, "🌊🌊"),
        ("🌊🌊🌊", 6, "🌊🌊🌊"),
        ("海上有船。天亮了。", 6, "海上有船。"),
        ("One.", 0, ""),
        ("", 5, ""),
    ],
)
def test_a_text_is_cut_after_a_sentence_else_a_word_else_anywhere(text: str, most: int, kept: str) -> None:
    found = shortened(text, most, "zh" if "海" in text else "")

    assert found.text == kept
    assert found.cut == (kept != text)
    assert shortened(text, None).text == text


def test_a_picture_is_told_by_style_what_is_seen_and_who() -> None:
    prompt = picture_prompt(style="woodcut", visual="A pier in fog", cast=[(ADA, "ada")], most=None)

    assert prompt.text == "woodcut. A pier in fog. Ada (@ada): a woman of sixty. She is tall."
    assert not prompt.cut
    bare = [(Actor(name="Ben"), ""), (Actor(name="Zoe"), "zoe")]
    assert picture_prompt(style="", visual="Fog!", cast=bare, most=None).text == "Fog! Zoe (@zoe)."


def test_style_and_cast_are_whole_while_what_is_seen_can_be_cut() -> None:
    visual = "A pier in fog. " * 100
    prompt = picture_prompt(style="woodcut", visual=visual, cast=[(ADA, "")], most=400)

    assert prompt.cut
    assert prompt.text.startswith("woodcut. A pier in fog.")
    assert prompt.text.endswith("fog. Ada: a woman of sixty. She is tall.")
    assert 380 < utf16_units(prompt.text) <= 400


def test_what_is_said_is_never_cut() -> None:
    spoken = [line("Look. They have seen us.", speaker="Ben"), line("It is over.")]
    prompt = clip_prompt(motion="Waves. " * 40, camera=Camera.STATIC, spoken=spoken, most=200)

    assert prompt.cut
    assert prompt.text.endswith(
        "The camera does not move. Ben says: “Look. They have seen us.” A narrator who is not seen says: “It is over.”"
    )
    assert utf16_units(prompt.text) <= 200
    assert "seen us" in clip_prompt(motion="Waves.", camera=Camera.STATIC, spoken=spoken, most=20).text


def test_a_motion_alone_is_left_as_it_is() -> None:
    assert clip_prompt(motion="Slow push in", camera=Camera.UNSPECIFIED, most=100).text == "Slow push in"


@pytest.mark.parametrize("seed", range(200))
def test_no_picture_prompt_is_longer_than_its_model_takes(seed: int) -> None:
    source = random.Random(seed)

    def text() -> str:
        words = source.choices(
            ("A", "pier.", "fog", "🌊", "e\u0301", "海。", "x" * 50, "!", "\n", "Mr."), k=source.randint(0, 200)
        )
        return source.choice((" ", "")).join(words)

    cast = [
        (Actor(name="Ada", description=text()[:500]), source.choice(("", "ada"))) for _ in range(source.randint(0, 9))
    ]
    most = source.choice((3, 50, 1000))

    prompt = picture_prompt(style=text()[:2000], visual=text(), cast=cast, most=most)

    assert utf16_units(prompt.text) <= most
    prompt.text.encode()
