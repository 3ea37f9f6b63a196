"""Requests are what models take, and the basis has every member of them."""

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest

from evergreen_server.film.composing.basis import basis_of
from evergreen_server.film.composing.casting import tags_of
from evergreen_server.film.composing.compose import (
    Composed,
    compose_clip,
    compose_picture,
    compose_speech,
    files_of,
)
from evergreen_server.film.digests import Member, base_digest, stale_because
from evergreen_server.film.model import Actor, FirstFrame, Plan, Speech
from evergreen_server.film.outputs import composed_of, wanted_of
from evergreen_server.ports.specs import GenerationSpec, InvalidRequest, Media, Operation, Role
from evergreen_server.ports.timeline import Source
from tests.film.planning import FILM, LAMP, MARKET, ORCHARD, TABLE, Film, files, film, scenes_of

CAST = (
    Actor(name="ADA", description="a woman of sixty", images=("images/a1.png", "images/a2.png"), voice="Eleanor"),
    Actor(name="BEN", description="a boy of ten", images=("images/b1.png", "images/b2.png", "images/b3.png")),
    Actor(name="Mei", description="a young cook"),
)


def models_that(operation: str) -> list[str]:
    return [info.model for info in TABLE.models() if operation in info.operations]


def with_cast(one: Film) -> Film:
    return replace(one, planned=replace(one.planned, plan=replace(one.plan, cast=CAST)))


def every_request(one: Film) -> Iterator[Composed]:
    for wanted in wanted_of(one.plan):
        yield composed_of(one.plan, one.models, wanted, files(one.plan))


def refusals(one: Film) -> set[str]:
    return {error.field for composed in every_request(one) for error in TABLE.field_errors(composed.spec)}


def planned_for(text: str, **given: object) -> Film | None:
    """The film with these models; None where they do not go together."""
    try:
        return film(text, **given)
    except InvalidRequest:
        return None


@pytest.mark.parametrize("aspect", ["16:9", "9:16", "1:1", "21:9"])
@pytest.mark.parametrize("model", models_that("text_to_image"))
def test_every_picture_is_one_that_its_model_takes(model: str, aspect: str) -> None:
    for text in (LAMP, ORCHARD):
        one = planned_for(text, picture_model=model, aspect=aspect, clip_model="seedance2_5")
        if one is not None:
            assert refusals(one) == set()
            assert refusals(with_cast(one)) == set()


@pytest.mark.parametrize("speech", [Speech.GENERATED, Speech.IN_CLIP, Speech.NONE])
@pytest.mark.parametrize("model", models_that("image_to_video"))
def test_every_clip_is_one_that_its_model_takes(model: str, speech: Speech) -> None:
    for text in (LAMP, ORCHARD, MARKET):
        one = planned_for(text, clip_model=model, speech=speech, aspect="9:16" if text == MARKET else "16:9")
        if one is not None:
            assert refusals(one) == set()
        if one is not None and one.models.clip.from_text is not None:
            scenes = tuple(
                replace(scene, shots=tuple(replace(shot, first_frame=FirstFrame.NONE) for shot in scene.shots))
                for scene in one.plan.scenes
            )
            plan = replace(one.plan, scenes=scenes, cast=CAST)
            assert refusals(replace(one, planned=replace(one.planned, plan=plan))) == set()


@pytest.mark.parametrize("language", ["", "en", "pt-BR", "zh-Hant-TW"])
@pytest.mark.parametrize("model", models_that("text_to_speech"))
def test_every_line_is_one_that_its_model_takes(model: str, language: str) -> None:
    made = 0
    for text in (scenes_of(3), scenes_of(2, header="---\ncast: Ada = a cook\n---\n")):
        one = planned_for(text, speech_model=model, language=language)
        assert one is not None
        assert refusals(one) == set()
        made += sum(composed.spec.operation is Operation.TEXT_TO_SPEECH for composed in every_request(one))
    assert made == 10


def test_most_models_go_together_with_the_usual_ones() -> None:
    """So that the tests above look at something."""
    pictures = [model for model in models_that("text_to_image") if planned_for(LAMP, picture_model=model)]
    clips = [model for model in models_that("image_to_video") if planned_for(LAMP, clip_model=model)]

    # It makes pictures of other pictures alone, and the lamp's cast has none.
    assert set(models_that("text_to_image")) - set(pictures) == {"gen4_image_turbo"}
    assert set(models_that("image_to_video")) - set(clips) == set()


SPEC = GenerationSpec(
    operation=Operation.TEXT_TO_IMAGE,
    model="gen4_image",
    prompt_text="A pier.",
    media=(Media(role=Role.REFERENCE, asset="images/a.png", tag="ada"),),
    ratio="1280:720",
    resolution="720p",
    duration_seconds=5,
    seed=7,
    parameters={"output_count": 2, "voice": "Maya", "language": "en"},
    options={"quality": "low", "audio": True},
)
OTHERS: dict[str, list[object]] = {
    "operation": [None, Operation.TEXT_TO_SPEECH],
    "model": ["gen4_image_turbo"],
    "prompt_text": ["A quay.", ""],
    "media": [
        (),
        (Media(role=Role.REFERENCE, asset="images/b.png", tag="ada"),),
        (Media(role=Role.REFERENCE, asset="images/a.png"),),
        (Media(role=Role.REFERENCE, asset="images/a.png", tag="ada", subject="human"),),
        (Media(role=Role.FIRST_FRAME, asset="images/a.png", tag="ada"),),
        (Media(role=Role.LAST_FRAME, asset="images/a.png", tag="ada"),),
        (Media(role=Role.REFERENCE, asset="images/a.png", tag="ada", at_seconds=1),),
        (SPEC.media[0], SPEC.media[0]),
    ],
    "ratio": ["720:1280", ""],
    "resolution": ["1080p", ""],
    "duration_seconds": [6, None],
    "seed": [8, None, 0],
    "parameters": [
        {"output_count": 3, "voice": "Maya", "language": "en"},
        {"output_count": 2, "voice": "Serene", "language": "en"},
        {"output_count": 2, "voice": "Maya", "language": "de"},
        {"output_count": 2, "voice": "Maya", "language": "en", "unheard": 1},
        {},
    ],
    "options": [{"quality": "high", "audio": True}, {"quality": "low", "audio": False}, {"quality": "low"}, {}],
}


def base(spec: GenerationSpec, redone: int = 0) -> str:
    basis = basis_of(spec, lambda media: f"sha of {media.asset}", redone=redone)
    return base_digest(film=FILM, shot="scene-1.1", output="picture", basis=basis)


def test_every_member_of_a_request_is_in_its_basis() -> None:
    assert set(OTHERS) == {one.name for one in fields(GenerationSpec)}

    variants = [replace(SPEC, **{name: value}) for name, values in OTHERS.items() for value in values]

    assert len({base(SPEC), *map(base, variants)}) == 1 + len(variants)
    assert base(SPEC, redone=1) != base(SPEC)


def test_every_member_of_a_files_place_counts_by_its_bytes_alone() -> None:
    assert {one.name for one in fields(Media)} == {
        "role", "uri", "digest", "asset", "at_seconds", "scene_id", "tag", "subject",
    }  # fmt: skip
    moved = replace(SPEC, media=(replace(SPEC.media[0], asset="images/moved.png", scene_id="elsewhere"),))

    assert basis_of(moved, lambda _: "same") == basis_of(SPEC, lambda _: "same")


def requests_of(plan: Plan, one: Film, picture: str = "ab") -> dict[str, Composed]:
    return {
        wanted.key: composed_of(
            plan,
            one.models,
            wanted,
            files(plan),
            first=Source(scene_id=wanted.scene.scene_id, asset="images/x.png", sha256=picture),
        )
        for wanted in wanted_of(plan)
    }


def changed(one: Film, plan: Plan, picture: str = "ab") -> dict[str, tuple[Member, ...]]:
    """What differs of each output, by key, from the film's own."""
    before, after = requests_of(one.plan, one), requests_of(plan, one, picture)
    return {
        key: stale_because(before[key].basis, after[key].basis)
        for key in before
        if key in after and before[key].base != after[key].base
    }


def test_what_goes_stale_with_what() -> None:
    one = with_cast(film(LAMP))
    plan = one.plan
    second = plan.scenes[1]

    def with_second(**given: object) -> Plan:
        return replace(plan, scenes=(plan.scenes[0], replace(second, **given), *plan.scenes[2:]))

    def with_shot(**given: object) -> Plan:
        return with_second(shots=(replace(second.shots[0], **given),))

    def recast(**given: object) -> Plan:
        return replace(plan, cast=(replace(CAST[0], **given), *CAST[1:]))

    pictures_of_ada = {"scene-2.1/picture", "scene-3.1/picture"}
    assert changed(one, with_shot(picture_prompt="A pier.")) == {"scene-2.1/picture": (Member.PROMPT,)}
    assert changed(one, with_shot(motion_prompt="Waves.")) == {"scene-2.1/clip": (Member.PROMPT,)}
    assert set(changed(one, with_shot(seed=5))) == {"scene-2.1/picture", "scene-2.1/clip"}
    assert changed(one, with_shot(picture_options={"x": 1})) == {"scene-2.1/picture": (Member.OPTIONS,)}
    assert changed(one, with_shot(clip_options={"x": 1})) == {"scene-2.1/clip": (Member.OPTIONS,)}
    assert changed(one, with_shot(seconds=9.5)) == {"scene-2.1/clip": (Member.LENGTH,)}
    assert changed(one, recast(description="a man")) == dict.fromkeys(pictures_of_ada, (Member.PROMPT,))
    assert changed(one, recast(images=("images/z.png", "images/a2.png"))) == dict.fromkeys(
        pictures_of_ada, (Member.REFERENCE,)
    )
    assert changed(one, recast(voice="Maya")) == {"scene-2.line-2/speech": (Member.VOICE,)}
    assert set(changed(one, plan, picture="cd")) == {f"scene-{number}.1/clip" for number in range(1, 6)}
    assert changed(one, replace(plan, redone={"scene-2.1/picture": 1})) == {
        "scene-2.1/picture": (Member.SEED, Member.REDO)
    }


def test_what_no_request_names_changes_none() -> None:
    one = film(LAMP)
    plan = one.plan
    scenes = tuple(
        replace(
            scene, number="9", title="Other", captions=("Hello",), script_line=1, script_digest="x", transition=None,
            lines=tuple(replace(line, direction="loudly", script_digest="x") for line in scene.lines),
        )
        for scene in reversed(plan.scenes)
    )  # fmt: skip
    other = replace(plan, title="Other", scenes=scenes, script_asset="x", numbers_used=99)
    settings = replace(plan.settings, scene_prefix="act", music="audio/x.mp3")

    assert changed(one, replace(other, settings=settings)) == {}


def test_the_words_of_a_clip_that_speaks_are_in_its_request() -> None:
    one = film(LAMP, speech=Speech.IN_CLIP, clip_model="veo3.1")
    scene = one.plan.scenes[1]

    clip = compose_clip(one.plan, one.models, scene, scene.shots[0], picture=None, measured={})

    assert "BEN, out of breath, says: “How many steps are there?” ADA says: “Two hundred" in clip.spec.prompt_text
    assert clip.basis[Member.AUDIO] is True
    silent = film(LAMP, clip_model="veo3.1")
    without = compose_clip(silent.plan, silent.models, scene, scene.shots[0], picture=None, measured={})
    assert without.basis[Member.AUDIO] is False
    assert "says" not in without.spec.prompt_text
    assert {wanted.kind for wanted in wanted_of(one.plan)} == {"picture", "clip"}


def test_every_line_is_spoken_in_one_shot_of_its_scene() -> None:
    words = " ".join(["steady"] * 30)
    spoken = "\n\n".join(f"**Ada**: {words} {last}." for last in ("one", "two", "three"))
    text = f"## One\n\n*A pier. A boat. A gull.*\n\n{spoken}"
    one = film(text, speech=Speech.IN_CLIP, clip_model="seedance2_mini")
    scene = one.plan.scenes[0]

    prompts = [
        compose_clip(one.plan, one.models, scene, shot, picture=None, measured={}).spec.prompt_text
        for shot in scene.shots
    ]

    assert len(prompts) > 1
    for word in ("one.”", "two.”", "three.”"):
        assert sum(word in prompt for prompt in prompts) == 1


def test_references_are_the_first_pictures_of_each_before_the_second_of_any() -> None:
    one = with_cast(film(LAMP))
    scene = one.plan.scenes[1]

    picture = compose_picture(one.plan, one.models, scene, scene.shots[0], {})

    assert [(media.asset, media.tag, media.scene_id) for media in picture.spec.media] == [
        ("images/a1.png", "ada", FILM), ("images/a2.png", "ada_2", FILM), ("images/b1.png", "ben", FILM),
    ]  # fmt: skip
    assert picture.spec.prompt_text.endswith("ADA (@ada): a woman of sixty. BEN (@ben): a boy of ten.")
    assert [warning.code for warning in picture.warnings] == ["REFERENCES_DROPPED"]
    assert picture.missing == ((FILM, "images/a1.png"), (FILM, "images/a2.png"), (FILM, "images/b1.png"))
    assert compose_picture(one.plan, one.models, scene, scene.shots[0], files(one.plan)).missing == ()


def test_tags_are_what_models_take_and_never_the_same() -> None:
    names = [
        "Ada",
        "Ädà",
        "Ada 2",
        "Ada2",
        "Al",
        "李",
        "王",
        "7 of 9",
        "A-B c.d",
        "Bartholomew Featherstonehaugh",
        "O'B",
        "a_2",
    ]
    tags = tags_of([Actor(name=name) for name in names])

    every = [tag if number == 1 else f"{tag}_{number}" for tag in tags.values() for number in (1, 2, 3)]
    assert len(set(every)) == 3 * len(names)
    for tag in every:
        media = Media(role=Role.REFERENCE, asset="images/a.png", tag=tag)
        spec = GenerationSpec(
            operation=Operation.TEXT_TO_IMAGE,
            model="gen4_image",
            prompt_text="A pier.",
            ratio="1280:720",
            media=(media,),
        )
        assert TABLE.field_errors(spec) == []
    # Who joins the cast changes nobody's tag.
    assert tags_of([Actor(name=name) for name in names[:5]]).items() <= tags.items()


def test_a_file_of_the_scene_itself_needs_no_name_of_a_scene() -> None:
    one = film(LAMP)
    scene = one.plan.scenes[0]
    own = Source(scene_id="scene-1", asset="images/x.png", sha256="ab")

    clip = compose_clip(one.plan, one.models, scene, scene.shots[0], picture=own, measured={})

    assert clip.spec.media == (Media(role=Role.FIRST_FRAME, asset="images/x.png"),)
    assert clip.missing == ()
    assert not clip.spec.widened


def test_a_voice_is_the_actors_else_the_narrators_else_the_models_first() -> None:
    one = film(MARKET)
    lines = {line.line_id: (scene, line) for scene, line in one.plan.lines()}
    scene, mei = next(pair for pair in lines.values() if pair[1].speaker == "Mei")
    stranger = replace(mei, speaker="Somebody")
    quiet = replace(one.plan, settings=replace(one.plan.settings, narrator_voice=""))

    def voice(plan: Plan, line: object) -> object:
        return compose_speech(plan, one.models, scene, line, {}).spec.parameters["voice"]

    assert voice(one.plan, mei) == "Katie"
    assert voice(one.plan, stranger) == "Serene"
    assert voice(quiet, stranger) == one.models.speech.voices[0]


def test_a_voice_may_come_from_a_sound() -> None:
    one = film(MARKET.replace("narrator: Serene\n", "").replace("; voice Katie", ""), speech_model="seed_audio")
    plan = replace(one.plan, cast=(Actor(name="Mei", voice_asset="audio/mei.mp3"),))
    scene, line = next((scene, line) for scene, line in plan.lines() if line.speaker == "Mei")

    speech = compose_speech(plan, one.models, scene, line, files(plan))

    assert TABLE.field_errors(speech.spec) == []
    assert speech.spec.media == (Media(role=Role.REFERENCE_AUDIO, asset="audio/mei.mp3", scene_id=FILM),)
    assert Member.VOICE in speech.basis


def test_every_file_that_a_caller_named_is_told_with_its_field() -> None:
    one = film(LAMP, music="audio/bed.mp3")
    plan = replace(
        one.plan,
        cast=(*CAST[:1], Actor(name="X", voice_asset="audio/x.mp3")),
        chosen={"scene-1.1/picture": ("other", "images/h.png")},
    )

    assert dict(files_of(plan)) == {
        "settings.music": (FILM, "audio/bed.mp3"),
        "cast[0].assets[0]": (FILM, "images/a1.png"),
        "cast[0].assets[1]": (FILM, "images/a2.png"),
        "cast[1].voice_asset": (FILM, "audio/x.mp3"),
        "scene-1.1/picture": ("other", "images/h.png"),
    }


def test_requests_are_the_same_over_releases() -> None:
    one = with_cast(film(LAMP))

    found = requests_of(one.plan, one)
    bases = [found[key].base[:16] for key in ("scene-2.1/picture", "scene-2.1/clip", "scene-2.line-2/speech")]

    assert bases == ["acbc8b3515dc0383", "f4f1cf4a5703c611", "5f1f5e768b22e858"]
