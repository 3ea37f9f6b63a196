"""Films whose models have changed since they were planned: they are read, told about, and mended by an edit."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from evergreen_server.film.digests import Currency
from evergreen_server.film.model import FilmSettings, Plan
from evergreen_server.film.outputs import wanted_of
from evergreen_server.film.planning.editing import EditSettings
from evergreen_server.film.plans.calls import EditRequest
from evergreen_server.film.plans.judging import judge_edits
from evergreen_server.film.plans.seen import Seen, seen_of
from evergreen_server.ports.catalog import ModelInfo, OperationInfo
from evergreen_server.ports.specs import InvalidRequest, Json
from evergreen_server.providers.runway.catalog.models import RunwayModels
from tests.film.planned import stored_of
from tests.film.planning import ORCHARD, TABLE, film

Change = Callable[[ModelInfo], ModelInfo | None]


class Changed(RunwayModels):
    """The table of a later release."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def models(self) -> Sequence[ModelInfo]:
        return [info for each in TABLE.models() if (info := self._change(each)) is not None]


def without(*models: str) -> Change:
    return lambda info: None if info.model in models else info


def ruled(model: str, change: Callable[[OperationInfo], OperationInfo]) -> Change:
    return lambda info: info if info.model != model else replace(info, rules=tuple(map(change, info.rules)))


def seen(plan: Plan, table: RunwayModels) -> Seen:
    return seen_of(stored_of(plan), table=table, there=frozenset())


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (without("gen4_image"), ["picture_model"]),
        (without("gen4_turbo"), ["clip_model"]),
        (without("eleven_v3"), ["speech_model"]),
        (without("eleven_v3", "gen4_turbo"), ["clip_model", "speech_model"]),
        (ruled("gen4_image", lambda rule: replace(rule, ratios=("720:1280",))), ["aspect"]),
        (ruled("gen4_turbo", lambda rule: replace(rule, durations_seconds=())), ["aspect"]),
        (ruled("eleven_v3", lambda rule: replace(rule, voices=("Nobody",))), ["narrator_voice"]),
        (lambda _: None, ["picture_model", "clip_model", "speech_model"]),
    ],
    ids=["picture", "clip", "speech", "two", "aspect", "lengths", "voice", "all"],
)
def test_a_film_that_its_models_no_longer_take_is_told_about_and_not_quoted(change: Change, fields: list[str]) -> None:
    plan = film(ORCHARD, narrator_voice="Maya").plan

    got = seen(plan, Changed(change))

    assert [warning.code for warning in got.quote.warnings] == ["SETTING_REFUSED"] * len(fields)
    for warning, field in zip(got.quote.warnings, fields, strict=True):
        assert f"settings.{field}: " in warning.message
    assert got.quote.millicredits is None
    assert got.quote.seconds == sum(shot.seconds for _, shot in plan.shots()) > 0
    assert {standing.currency for standing in got.standings.values()} == {Currency.BLOCKED}
    assert got.standings.keys() == {wanted.key for wanted in wanted_of(plan)}


@pytest.mark.parametrize(
    "change",
    [
        ruled("gen4_turbo", lambda rule: replace(rule, durations_seconds=(2,))),
        ruled("gen4_image", lambda rule: replace(rule, references_max=0, prompt_max_utf16=10)),
        ruled("eleven_v3", lambda rule: replace(rule, prompt_max_utf16=3, voices=("Maya",))),
        ruled("gen4_turbo", lambda rule: replace(rule, prompt_max_utf16=1)),
    ],
    ids=["lengths", "references", "voices", "prompts"],
)
def test_a_film_of_which_its_models_take_less_is_still_quoted(change: Change) -> None:
    got = seen(film(ORCHARD).plan, Changed(change))

    assert {standing.currency for standing in got.standings.values()} == {Currency.MISSING}
    assert got.quote.items


def edited(plan: Plan, table: RunwayModels, *settings: dict[str, object]) -> FilmSettings:
    edits = [EditSettings(settings=each) for each in settings]
    request = EditRequest(project_id="film", film_id=plan.film_id, plan_revision=1, edits=edits)
    return judge_edits(request, plan, table).plan.settings


def test_an_edit_puts_another_model_in_the_place_of_one_that_is_gone() -> None:
    plan, table = film(ORCHARD).plan, Changed(without("gen4_image"))

    assert edited(plan, table, {"picture_model": "gemini_image3_pro"}).picture_model == "gemini_image3_pro"
    mended = edited(plan, table, {"style": "ink"}, {"picture_model": "gemini_image3_pro"})
    assert (mended.style, mended.picture_model) == ("ink", "gemini_image3_pro")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ([{"style": "ink"}], "edits[0].settings.picture_model"),
        ([{"picture_model": "gen4_image"}, {"style": "ink"}], "edits[0].settings.picture_model"),
        ([{"style": "ink"}, {"picture_model": "none"}], "edits[1].settings.picture_model"),
    ],
)
def test_an_edit_that_leaves_a_model_that_is_gone_is_refused_by_that_setting(
    settings: list[dict[str, Json]], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        edited(film(ORCHARD).plan, Changed(without("gen4_image")), *settings)

    assert [error.field for error in refused.value.field_errors] == [field]
