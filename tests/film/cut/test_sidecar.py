"""What lies beside an export: what it was made of, by digests, what that cost, and what is not as planned."""

import json
from dataclasses import replace

from evergreen_server.film.cut.cutting import Cut, Used
from evergreen_server.film.cut.sidecar import sidecar
from evergreen_server.film.statuses import Status
from tests.film.cut.cuts import EXPORT, MUSIC, WIDE, cut_of, used_of
from tests.film.planning import Film, film, scenes_of

SHORT = film(scenes_of(2))
MADE = used_of(SHORT)


def document(made: Cut, one: Film = SHORT, **changes: object) -> dict[str, object]:
    used: dict[str, Used] = dict(MADE)
    text = sidecar(one.plan, made, used, replace(EXPORT, **changes), profile=WIDE, run=2, plan_revision=7)
    return json.loads(text)


def test_every_output_in_the_cut_is_told_with_its_digests_and_credits() -> None:
    found = document(cut_of(SHORT, MADE))

    assert set(found["outputs"]) == set(MADE)
    clip = MADE["scene-2.1/clip"]
    assert found["outputs"]["scene-2.1/clip"] == {
        "sceneId": "scene-2",
        "asset": clip.source.asset,
        "sha256": clip.source.sha256,
        "seconds": clip.seconds,
        "digest": "digest of scene-2.1/clip",
        "take": 1,
        "jobId": "job of scene-2.1/clip",
        "credits": 5.0,
    }
    assert found["credits"] == 5.0 * len(MADE)


def test_the_film_is_told_as_it_was_measured() -> None:
    found = document(cut_of(SHORT))

    assert (found["schemaVersion"], found["filmId"], found["run"], found["planRevision"]) == (1, "my-film", 2, 7)
    export = found["export"]
    assert (export["sha256"], export["sizeBytes"], export["loudnessLufs"]) == ("f" * 64, 1_000, -16.1)
    assert export["profile"]["name"] == "wide"
    assert export["profile"]["loudnessLufs"] == -16.0


def test_a_silent_film_has_no_loudness() -> None:
    export = document(cut_of(SHORT), loudness_lufs=None, true_peak_dbtp=None)["export"]

    assert (export["loudnessLufs"], export["truePeakDbtp"]) == (None, None)


def test_shots_and_sounds_are_told_in_their_order_with_their_times() -> None:
    made = cut_of(SHORT, MADE, music=MUSIC)

    found = document(made)

    assert [shot["shotId"] for shot in found["shots"]] == ["scene-1.1", "scene-2.1"]
    first = made.timeline.spans[0].frames
    assert [(shot["start"], shot["frames"]) for shot in found["shots"]] == [
        (0, first),
        (round(first / 24, 3), made.timeline.spans[1].frames),
    ]
    assert [sound["heard"] for sound in found["sounds"]].count("MUSIC") == 1
    assert [(sound["itemId"], sound["start"]) for sound in found["sounds"]] == [
        (item, sound.start) for sound, item in zip(made.timeline.sounds, made.items, strict=True)
    ]


def test_what_was_replaced_or_left_out_is_told_and_its_cost_is_not_of_the_cut() -> None:
    made = cut_of(SHORT, MADE, scene_2_1_clip=Status.LEFT_OUT, scene_2_1_picture=Status.LEFT_OUT)

    found = document(made)

    assert {"itemId": "scene-2.1", "output": "clip", "by": "LEFT_OUT"} in found["substitutions"]
    assert {warning["code"] for warning in found["warnings"]} == {"OUTPUT_REPLACED"}
    assert not [key for key in found["outputs"] if key.startswith("scene-2")]
    assert found["credits"] == 5.0 * len(found["outputs"])
