"""Scenes keep their ids over a new script."""

import random
from dataclasses import replace

import pytest

from evergreen_server.film.model import PlannedLine, PlannedScene, PlannedShot
from evergreen_server.film.planning.matching import continued, scene_ids

PARTS = ("lam", "tor", "vel", "ki", "su", "mor", "pan", "ghe", "dra", "fo", "bil", "wen")
WORDS = [first + second + third for first in PARTS for second in PARTS for third in ("ra", "to", "li", "nu", "ser")]
COMMON = ("the", "a", "of", "and", "in", "to", "his", "her", "it", "is", "with", "on")


def sentence(source: random.Random) -> str:
    return " ".join(source.choice(COMMON if source.random() < 0.5 else WORDS) for _ in range(source.randint(6, 14)))


def shot(text: str) -> PlannedShot:
    return PlannedShot(shot_id="", picture_prompt=text, motion_prompt=text, seconds=4)


def line(speaker: str, text: str) -> PlannedLine:
    return PlannedLine(line_id="", speaker=speaker, text=text)


def titled(title: str, number: str = "", digest: str = "") -> PlannedScene:
    return PlannedScene(scene_id="", title=title, number=number, script_digest=digest)


def scene(source: random.Random, *, number: str = "") -> PlannedScene:
    return PlannedScene(
        scene_id="",
        number=number,
        title=f"INT. {source.choice(WORDS).upper()} - {source.choice(('DAY', 'NIGHT'))}",
        shots=tuple(shot(sentence(source)) for _ in range(source.randint(1, 4))),
        lines=tuple(line(source.choice(("ADA", "BEN")), sentence(source)) for _ in range(source.randint(1, 4))),
    )


def reworded(old: PlannedScene, source: random.Random) -> PlannedScene:
    """The same scene with its last picture new and every third word of its lines replaced."""
    lines = tuple(
        line(
            old_line.speaker,
            " ".join(
                source.choice(WORDS) if not index % 3 else word for index, word in enumerate(old_line.text.split())
            ),
        )
        for old_line in old.lines
    )
    return replace(old, shots=(*old.shots[:-1], shot(sentence(source))), lines=lines)


@pytest.mark.parametrize("numbered", ["no", "kept", "anew"])
@pytest.mark.parametrize("seed", range(20))
def test_a_revision_of_190_scenes_keeps_every_id(seed: int, numbered: str) -> None:
    source = random.Random(seed)
    before = [scene(source, number="" if numbered == "no" else str(number)) for number in range(1, 191)]
    wanted: list[int | None] = list(range(190))
    for _ in range(3):
        wanted.pop(source.randrange(len(wanted)))
    moved = wanted.pop(source.randrange(len(wanted)))
    wanted.insert(source.randrange(len(wanted)), moved)
    changed = {source.randrange(190) for _ in range(8)}
    for _ in range(2):
        wanted.insert(source.randrange(len(wanted)), None)
    after = [
        scene(source, number="" if numbered == "no" else "9" * 4)
        if old is None
        else reworded(before[old], source)
        if old in changed
        else before[old]
        for old in wanted
    ]
    if numbered == "anew":
        after = [replace(new, number=str(number)) for number, new in enumerate(after, start=1)]

    found = continued(before, after)

    # A new scene may take the number of one that was cut, where scenes are counted anew.
    assert [match for match, want in zip(found, wanted, strict=True) if want is not None] == [
        want for want in wanted if want is not None
    ]
    if numbered != "anew":
        assert found == tuple(wanted)


def test_the_same_script_keeps_everything_and_another_nothing() -> None:
    source = random.Random(1)
    film = [scene(source) for _ in range(30)]

    assert continued(film, film) == tuple(range(30))
    assert continued(film, list(reversed(film))) == tuple(reversed(range(30)))
    assert continued([], film) == (None,) * 30
    assert continued(film, []) == ()


def test_scenes_that_say_the_same_are_matched_in_their_order() -> None:
    twin = titled("Rain")

    assert continued([twin, twin, twin], [twin, twin]) == (0, 1)
    assert continued([twin], [twin, twin]) == (0, None)


def test_a_scene_written_anew_under_its_number_keeps_its_id() -> None:
    before = [titled("Rain", "1"), titled("Sun", "2")]
    after = [titled("Snow", "2"), titled("Hail", "3")]

    assert continued(before, after) == (1, None)


def test_an_edited_scene_goes_on_where_its_script_says_the_same() -> None:
    before = [titled("All was rewritten by hand.", "1", "aa"), titled("Rain", "2", "bb")]
    after = [titled("Rain", "1", "bb"), titled("Sun", "2", "aa")]

    assert continued(before, after) == (1, 0)


def test_ids_of_new_scenes_go_on_and_are_never_used_again() -> None:
    ids, used = scene_ids((1, None, 0, None), ("scene-1", "scene-4"), prefix="scene", used=7)

    assert ids == ("scene-4", "scene-8", "scene-1", "scene-9")
    assert used == 9
