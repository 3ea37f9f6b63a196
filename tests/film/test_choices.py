"""Settings, cast, and what models take: what goes before what, and every fault by its field."""

import math

import pytest

from evergreen_server.film.model import Actor, FilmSettings, Speech, Transition
from evergreen_server.film.planning.choices import cast_of, models_of, settings_of
from evergreen_server.film.profiles import suggested
from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.script import Timing, TransitionKind
from evergreen_server.ports.specs import InvalidRequest
from evergreen_server.ports.timeline import Captions, Fit, Profile
from tests.film.planning import LAMP, ORCHARD, TABLE, film


def faults(**given: object) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        models_of(settings_of(given), TABLE)
    return [error.field for error in caught.value.field_errors]


def test_what_is_given_goes_before_the_script_and_that_before_the_film_and_the_defaults() -> None:
    script, before = (
        read_script(LAMP.replace("Language: en", "Language: de")),
        film(ORCHARD, style="", language="fr").plan,
    )

    settings = settings_of({"style": "woodcut", "aspect": "", "candidates": 0}, script, before)

    assert settings.style == "woodcut"
    assert settings.narrator_voice == "Bernard"
    assert settings.language == "de"
    # Both scripts say the same language, of which the caller's edit stays.
    assert settings_of({}, read_script(LAMP), before).language == "fr"
    assert settings_of({}, None, before).language == "fr"
    assert settings.picture_model == "gen4_image"
    assert settings_of({}, default=FilmSettings(clip_model="gen4.5")).clip_model == "gen4.5"


def test_times_in_a_script_say_that_its_scenes_are_as_long() -> None:
    plain, timed = read_script(LAMP), read_script(ORCHARD)

    assert settings_of({}, plain).timing is Timing.SPEECH
    assert settings_of({}, timed).timing is Timing.SCRIPT
    assert settings_of({"timing": Timing.SPEECH}, timed).timing is Timing.SPEECH
    # The caller's choice stays over the same script, and a script of another kind goes before it.
    chosen = film(ORCHARD, timing=Timing.SPEECH).plan
    assert settings_of({}, timed, chosen).timing is Timing.SPEECH
    assert settings_of({}, timed, film(LAMP).plan).timing is Timing.SCRIPT


def test_transitions_have_their_usual_length() -> None:
    assert settings_of({"transition": Transition(kind=TransitionKind.DISSOLVE)}).transition.seconds == 0.5
    assert settings_of({"transition": Transition(kind=TransitionKind.CUT, seconds=1)}).transition == Transition()


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"scene_prefix": "../x"}, ["scene_prefix"]),
        ({"scene_prefix": "x" * 41}, ["scene_prefix"]),
        ({"aspect": "wide"}, ["aspect"]),
        ({"aspect": "0:1"}, ["aspect"]),
        ({"aspect": "5:1"}, ["aspect"]),
        ({"aspect": "21:9", "clip_model": "gen4.5"}, ["aspect"]),
        ({"aspect": "1:1", "clip_model": "veo3.1"}, ["aspect"]),
        ({"aspect": "3:1"}, ["aspect", "aspect"]),
        ({"style": "x" * 2_001}, ["style"]),
        ({"style": "\x00"}, ["style"]),
        ({"language": "english language"}, ["language"]),
        ({"music": "images/x.png"}, ["music"]),
        ({"music": "audio/../x.mp3"}, ["music"]),
        ({"candidates": 5}, ["candidates"]),
        ({"candidates": 2}, ["candidates"]),
        ({"candidates": 2, "picture_model": "gemini_image3_pro"}, ["candidates"]),
        ({"transition": Transition(kind=TransitionKind.DISSOLVE, seconds=2.1)}, ["transition.seconds"]),
        ({"transition": Transition(kind=TransitionKind.BLACK, seconds=math.nan)}, ["transition.seconds"]),
        ({"picture_model": "gen4_turbo"}, ["picture_model"]),
        ({"clip_model": "aleph2"}, ["clip_model"]),
        ({"speech_model": "gen4_image"}, ["speech_model"]),
        (
            {"picture_model": "a", "clip_model": "b", "speech_model": "c"},
            ["picture_model", "clip_model", "speech_model"],
        ),
        ({"narrator_voice": "Nobody"}, ["narrator_voice"]),
        ({"narrator_voice": "Maya", "speech_model": "seed_audio"}, ["narrator_voice"]),
        ({"speech": Speech.IN_CLIP}, ["speech"]),
    ],
)
def test_every_fault_of_a_setting_is_told_at_it(given: dict[str, object], fields: list[str]) -> None:
    assert faults(**given) == [f"settings.{name}" for name in dict.fromkeys(fields)]


@pytest.mark.parametrize(
    ("profiles", "fields"),
    [
        ([{"name": ""}], ["[0].name", "[0].width", "[0].height"]),
        ([{"name": "mine", "width": 640}], ["[0].height"]),
        ([{"name": "wide", "width": 63}], ["[0].width"]),
        ([{"name": "wide", "height": 4098}], ["[0].height"]),
        ([{"name": "wide", "fps": 61}, {"name": "tall", "crf": 52}], ["[0].fps", "[1].crf"]),
        ([{"name": "wide", "loudness_lufs": -4.9}], ["[0].loudness_lufs"]),
        ([{"name": "wide", "loudness_lufs": math.nan}], ["[0].loudness_lufs"]),
        ([{"name": "wide"}, {"name": "wide"}], ["[1].name"]),
        ([{"name": "a/b", "width": 64, "height": 64}], ["[0].name"]),
        ([{"name": "wide"}] * 9, [""]),
    ],
)
def test_every_fault_of_a_profile_is_told_at_it(profiles: list[dict[str, object]], fields: list[str]) -> None:
    assert faults(profiles=profiles) == [f"settings.profiles{name}" for name in fields]


def test_profiles_are_known_by_name_or_given_whole() -> None:
    own = {
        "name": "mine",
        "width": 640,
        "height": 480,
        "fps": 60,
        "fit": Fit.PAD,
        "captions": Captions.TRACK,
        "crf": 51,
    }
    profiles = [{"name": "square1080"}, {"name": "wide", "loudness_lufs": -23.0}, own]

    assert settings_of({"profiles": profiles}).profiles == (
        Profile(name="square1080", width=1080, height=1080),
        Profile(name="wide", width=1280, height=720, loudness_lufs=-23.0),
        Profile(name="mine", width=640, height=480, fps=60, fit=Fit.PAD, captions=Captions.TRACK, crf=51),
    )


@pytest.mark.parametrize(
    ("aspect", "name", "size"),
    [
        ("16:9", "wide", (1280, 720)),
        ("9:16", "tall", (720, 1280)),
        ("1:1", "square", (960, 960)),
        ("4:3", "wide", (960, 720)),
        ("21:9", "wide", (1680, 720)),
        ("2:3", "tall", (720, 1080)),
    ],
)
def test_an_aspect_suggests_a_profile(aspect: str, name: str, size: tuple[int, int]) -> None:
    profile = suggested(aspect)

    assert (profile.name, (profile.width, profile.height)) == (name, size)


@pytest.mark.parametrize(
    ("given", "picture", "clip"),
    [
        ({}, "1280:720", "1280:720"),
        ({"aspect": "9:16"}, "720:1280", "720:1280"),
        ({"aspect": "21:9"}, "1680:720", "1584:672"),
        ({"profiles": [{"name": "wide"}]}, "1280:720", "1280:720"),
        ({"profiles": [{"name": "wide1080"}], "clip_model": "veo3.1"}, "1920:1080", "1920:1080"),
        # Nothing dearer than 1080 is asked for without a word.
        (
            {"profiles": [{"name": "mine", "width": 3840, "height": 2160}], "clip_model": "seedance2"},
            "1920:1080",
            "1920:1080",
        ),
        ({"clip_model": "wan3"}, "1280:720", "auto_720p"),
    ],
)
def test_sizes_follow_the_aspect_and_the_exports(given: dict[str, object], picture: str, clip: str) -> None:
    models = models_of(settings_of(given), TABLE)

    assert models.picture.ratios[0] == picture
    assert models.clip.from_picture is not None
    assert models.clip.from_picture.ratio == clip


def test_the_cast_is_the_headers_with_what_the_film_had() -> None:
    one = film("---\ncast: Ada = a cook; voice Maya\n---\n## One\n\n*Ada.*\n").plan
    header = read_script("---\ncast: Ada = a fisher\n---\n## One\n\n*Ada.*\n").header

    assert cast_of((), header, one) == (Actor(name="Ada", description="a fisher", voice="Maya"),)
    assert cast_of([Actor(name="ADA", description="x")], header, one) == (Actor(name="ADA", description="x"),)
    assert cast_of((), read_script("## One\n\n*A.*\n").header, one) == ()
