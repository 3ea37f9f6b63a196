"""What a run may cost: never less than it can come to, and nothing for what is there already."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from evergreen_server.film.composing.lengths import lengths_of
from evergreen_server.film.digests import Currency, Redo, Standing
from evergreen_server.film.model import FirstFrame, Plan
from evergreen_server.film.outputs import composed_of, standings_of, wanted_of
from evergreen_server.film.quote import DailyLimits, quote
from evergreen_server.film.screenplay.speech import speech_seconds
from tests.film.planning import (
    LAMP,
    MARKET,
    ORCHARD,
    TABLE,
    TIER_1,
    Film,
    anew,
    files,
    film,
    made_by,
    quoted,
    scenes_of,
)

FORTY = scenes_of(40)


def with_shots(one: Film, change: Callable[[int], dict[str, object]]) -> Film:
    """The film with something else in each shot, by the number of its scene."""
    scenes = tuple(
        replace(scene, shots=tuple(replace(shot, **change(number)) for shot in scene.shots))
        for number, scene in enumerate(one.plan.scenes)
    )
    return replace(one, planned=replace(one.planned, plan=replace(one.plan, scenes=scenes)))


@pytest.mark.parametrize(("text", "credits"), [(LAMP, 205), (ORCHARD, 289), (MARKET, 233)])
def test_the_samples_cost_what_they_were_reckoned_to(text: str, credits: int) -> None:
    assert quoted(film(text)).millicredits == credits * 1000


@pytest.mark.parametrize("text", [LAMP, ORCHARD, MARKET, FORTY])
@pytest.mark.parametrize("model", ["gen4_turbo", "gen4.5", "veo3.1_fast", "kling2.5_turbo_pro", "seedance2_5"])
def test_no_speech_makes_a_film_dearer_than_its_quote(text: str, model: str) -> None:
    source = random.Random(model + text[:5])
    one = film(text, clip_model=model)
    bound = quoted(one).millicredits
    assert bound is not None

    for _ in range(20):
        # Up to 1.25 times the estimate, and what nobody reckoned with.
        most = source.choice((0.5, 1.0, 1.25, 4.0))
        measured = {line.line_id: source.uniform(0.1, most) * speech_seconds(line.text) for _, line in one.plan.lines()}
        if most == 1.25:
            measured = {line.line_id: 1.25 * speech_seconds(line.text) for _, line in one.plan.lines()}
        cost = sum(
            TABLE.quote(composed_of(one.plan, one.models, wanted, {}, measured=measured).spec) or 0
            for wanted in wanted_of(one.plan)
        )

        assert cost <= bound


def test_each_output_is_quoted_by_itself_and_no_lower_than_its_request() -> None:
    one = film(LAMP)
    items = {(item.item_id, item.kind): item for item in quoted(one).items}

    for wanted in wanted_of(one.plan):
        spec = composed_of(one.plan, one.models, wanted, {}).spec
        assert (items[wanted.item_id, wanted.kind].millicredits or 0) >= (TABLE.quote(spec) or 0)
        assert items[wanted.item_id, wanted.kind].model == spec.model


def test_the_same_script_again_costs_nothing() -> None:
    one = film(FORTY)
    made = made_by(one)

    again = film(FORTY, one.plan)
    result = quoted(again, made)

    assert again.plan == one.plan
    assert (result.millicredits, result.provider_days) == (0, 0)
    assert result.reused_millicredits == 1000 * len(made)
    assert all(item.reused for item in result.items)


def test_one_line_of_forty_scenes_is_one_speech() -> None:
    one = film(FORTY)
    made = made_by(one)
    changed = film(scenes_of(40, changed={17: "Boat 17 left the harbour long before sunup."}), one.plan)

    standings = standings_of(changed.plan, changed.models, made, files(changed.plan))
    stale = {key for key, standing in standings.items() if standing.currency is not Currency.CURRENT}

    assert stale == {"scene-17.line-1/speech"}
    # The new line may turn out longer, and then its clip is not long enough: a quote reckons with it.
    assert anew(changed, made) == {"scene-17.line-1/speech", "scene-17.1/clip"}
    # Once it is made, and takes about as long, the clip stays.
    later = {**made, "scene-17.line-1/speech": made_by(changed)["scene-17.line-1/speech"]}
    assert anew(changed, later) == set()


def test_a_line_that_takes_longer_makes_its_clip_anew_and_no_other() -> None:
    one = film(FORTY)
    made = made_by(one)
    longer = "Boat 17 left the harbour long before dawn, and nobody in the whole village saw it go, or asked why."
    changed = film(scenes_of(40, changed={17: longer}), one.plan)
    later = {**made, "scene-17.line-1/speech": made_by(changed)["scene-17.line-1/speech"]}

    standings = standings_of(changed.plan, changed.models, later, files(changed.plan))

    assert standings["scene-17.1/clip"].because == ("LENGTH",)
    assert anew(changed, later) == {"scene-17.1/clip"}


def test_a_line_in_a_scene_of_the_scripts_length_changes_no_clip() -> None:
    one = film(ORCHARD)
    changed = film(ORCHARD.replace("whole hill hums", "whole hill sings"), one.plan)

    assert anew(changed, made_by(one)) == {"scene-3.line-1/speech"}


def test_another_style_is_every_picture_and_so_every_clip() -> None:
    one = film(FORTY)
    changed = film(FORTY, one.plan, style="woodcut")

    assert anew(changed, made_by(one)) == {
        f"scene-{number}.1/{output}" for number in range(1, 41) for output in ("picture", "clip")
    }
    assert anew(changed, made_by(one), Redo.MISSING) == set()


def test_scenes_in_another_order_cost_nothing() -> None:
    one = film(FORTY)
    parts = FORTY.split("\n## ")
    shuffled = "\n## ".join([parts[0], *random.Random(3).sample(parts[1:], 39)])
    changed = film(shuffled, one.plan)

    assert [scene.scene_id for scene in changed.plan.scenes] != [scene.scene_id for scene in one.plan.scenes]
    assert anew(changed, made_by(one)) == set()


def test_another_clip_model_alone_renews_nothing_where_content_decides() -> None:
    one = film(FORTY)
    changed = film(FORTY, one.plan, clip_model="gen4.5")
    clips = {f"scene-{number}.1/clip" for number in range(1, 41)}

    assert anew(changed, made_by(one)) == clips
    assert anew(changed, made_by(one), Redo.CONTENT_CHANGED) == set()


def test_a_picture_made_anew_makes_the_clip_of_it_anew_and_those_that_follow_it() -> None:
    one = with_shots(film(FORTY), lambda number: {"first_frame": FirstFrame.PREVIOUS_CLIP} if number in (4, 5) else {})
    made = made_by(one)
    changed = with_shots(one, lambda number: {"picture_prompt": "A pier."} if number == 3 else {})

    assert anew(one, made) == set()
    assert anew(changed, made) == {"scene-4.1/picture", "scene-4.1/clip", "scene-5.1/clip", "scene-6.1/clip"}


def test_a_store_that_cannot_be_read_is_no_bill() -> None:
    one = film(LAMP)
    made = {key: replace(each, there=None) for key, each in made_by(one).items()}

    result = quoted(one, made)

    assert result.millicredits == 0
    assert {standing.currency for standing in standings_of(one.plan, one.models, made, {}).values()} == {
        Currency.BLOCKED
    }


def test_a_file_that_is_gone_is_quoted_anew() -> None:
    one = film(LAMP)
    made = made_by(one)
    made["scene-2.1/clip"] = replace(made["scene-2.1/clip"], there=False)

    assert anew(one, made) == {"scene-2.1/clip"}


def test_a_file_that_the_caller_chose_is_never_made() -> None:
    one = film(LAMP)
    chosen = {"scene-1.1/picture": ("other", "images/hero.png"), "scene-2.1/clip": ("other", "videos/stairs.mp4")}
    plan = replace(one.plan, chosen=chosen)
    known = {("other", "images/hero.png"): "ab" * 32, ("other", "videos/stairs.mp4"): "cd" * 32}

    def result(plan: Plan) -> set[str]:
        standings = standings_of(plan, one.models, {}, known)
        items = quote(plan, one.models, standings, measured={}, spent={}, limits=TIER_1, files=known).items
        return {f"{item.item_id}/{item.kind}" for item in items}

    # Of a clip that is there no picture is needed either.
    assert result(one.plan) - result(plan) == {"scene-1.1/picture", "scene-2.1/picture", "scene-2.1/clip"}
    assert standings_of(plan, one.models, {}, known)["scene-1.1/picture"].currency is Currency.CURRENT
    assert standings_of(plan, one.models, {}, {})["scene-1.1/picture"].currency is Currency.MISSING


@pytest.mark.parametrize("setting", [{"speech_model": "eleven_v4"}, {"picture_model": "seedream5_flash"}])
def test_an_unknown_price_is_no_sum_and_names_its_shots(setting: dict[str, object]) -> None:
    result = quoted(film(LAMP, **setting))

    assert result.millicredits is None
    assert result.unpriced[0].startswith("scene-1.")
    assert len(result.unpriced) == (6 if "speech_model" in setting else 5)
    assert [warning.code for warning in result.warnings] == ["PRICE_UNKNOWN"]


def test_what_is_reused_needs_no_price() -> None:
    one = film(LAMP, speech_model="eleven_v4")
    made = {key: each for key, each in made_by(one).items() if key.endswith("speech")}

    assert quoted(one, made).millicredits is not None


@pytest.mark.parametrize(
    ("count", "candidates", "days"), [(10, 1, 1), (40, 1, 2), (51, 1, 3), (100, 1, 4), (10, 4, 1), (51, 4, 3)]
)
def test_days_follow_from_the_tier(count: int, candidates: int, days: int) -> None:
    result = quoted(film(scenes_of(count), picture_model="muse_image", candidates=candidates))

    assert result.provider_days == days
    assert [warning.code for warning in result.warnings] == (["DAILY_LIMIT"] if days > 1 else [])


def test_a_tier_that_is_not_known_tells_no_days() -> None:
    one = film(LAMP)
    standings = {wanted.key: Standing(currency=Currency.MISSING) for wanted in wanted_of(one.plan)}

    result = quote(one.plan, one.models, standings, measured={}, spent={}, limits=DailyLimits(), files={})

    assert result.provider_days is None
    assert result.warnings == ()


def test_candidates_are_pictures_of_one_job() -> None:
    one, several = film(LAMP, picture_model="muse_image"), film(LAMP, picture_model="muse_image", candidates=3)

    assert {item.quantity for item in quoted(several).items if item.kind == "picture"} == {3}
    assert (quoted(several).millicredits or 0) - (quoted(one).millicredits or 0) == 2 * 5 * 1000


def test_the_length_of_the_film_is_that_of_its_scenes() -> None:
    one = film(ORCHARD)

    assert quoted(one).seconds == 50
    assert quoted(one).seconds == sum(
        lengths_of(scene, one.plan.settings, one.models, {}).seconds for scene in one.plan.scenes
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_was_begun_never_costs_more_than_what_is_left_of_its_quote(seed: int) -> None:
    """Outputs are made one by one, and with each the quote falls by what was paid at least."""
    source = random.Random(seed)
    one = film(scenes_of(6), clip_model=source.choice(("gen4_turbo", "veo3.1_fast")))
    done = made_by(one, factor=source.uniform(0.3, 1.25))
    made: dict[str, object] = {}
    known = files(one.plan)
    left = quoted(one).millicredits or 0
    measured = {key.removesuffix("/speech"): each.seconds for key, each in done.items() if key.endswith("/speech")}

    order = sorted(done, key=lambda key: (["speech", "picture", "clip"].index(key.rpartition("/")[2]), source.random()))
    for key in order:
        wanted = next(one_wanted for one_wanted in wanted_of(one.plan) if one_wanted.key == key)
        paid = TABLE.quote(composed_of(one.plan, one.models, wanted, known, measured=measured).spec) or 0
        made[key] = done[key]
        after = quoted(one, made).millicredits or 0

        assert after + paid <= left
        left = after
    assert left == 0
