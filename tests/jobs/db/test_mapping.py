"""The spec in a job's row, which replicas of the release before read and write beside this one during an upgrade."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evergreen_server.jobs.db.mapping import life_to_row, request_to_row, spec_from_row, spec_to_row
from evergreen_server.jobs.db.queries import LIFE, OF_REQUEST
from evergreen_server.jobs.model.job import Job
from evergreen_server.ports.specs import GenerationSpec, Media, MediaKind, Operation, Role
from tests.jobs.tools import request_at

ROWS: dict[str, tuple[GenerationSpec, str]] = {
    "whole": (
        GenerationSpec(
            model="gen4.5",
            prompt_text="a rocket rises",
            media=(
                Media(role=Role.FIRST_FRAME, asset="images/hero.png"),
                Media(role=Role.KEYFRAME, digest="00ff", at_seconds=0.5),
                Media(role=Role.REFERENCE, uri="https://example.com/a.jpg"),
            ),
            ratio="1280:720",
            resolution="720p",
            duration_seconds=5,
            seed=0,
            options={"audio": False, "shots": [1.5, {"prompt": "x"}, None]},
        ),
        '{"model": "gen4.5", "prompt_text": "a rocket rises", "media": ['
        '{"role": "FIRST_FRAME", "uri": null, "digest": null, "asset": "images/hero.png", "at_seconds": null}, '
        '{"role": "KEYFRAME", "uri": null, "digest": "00ff", "asset": null, "at_seconds": 0.5}, '
        '{"role": "REFERENCE", "uri": "https://example.com/a.jpg", "digest": null, "asset": null, "at_seconds": null}'
        '], "ratio": "1280:720", "resolution": "720p", "duration_seconds": 5, "seed": 0, '
        '"options": {"audio": false, "shots": [1.5, {"prompt": "x"}, null]}}',
    ),
    "bare": (
        GenerationSpec(model="gen4.5"),
        '{"model": "gen4.5", "prompt_text": "", "media": [], "ratio": "", "resolution": "", '
        '"duration_seconds": null, "seed": null, "options": {}}',
    ),
}
"""Specs, and what the release before writes for them, to the byte; it reads no member beyond these."""


@pytest.mark.parametrize("name", ROWS)
def test_a_video_is_written_as_the_release_before_writes_it(name: str) -> None:
    spec, written = ROWS[name]

    row = spec_to_row(spec)

    assert json.dumps(row["spec"]) == written
    assert (row["kind"], row["operation"], row["spec_more"]) == ("VIDEO", None, None)


@pytest.mark.parametrize("name", ROWS)
def test_what_the_release_before_wrote_is_read_as_a_video(name: str) -> None:
    spec, written = ROWS[name]

    row = {"model": spec.model, "operation": None, "spec": json.loads(written), "spec_more": None}

    read = spec_from_row(row)

    assert read == spec
    assert read.kind is MediaKind.VIDEO


SPOKEN = GenerationSpec(
    operation=Operation.TEXT_TO_IMAGE,
    model="gen4_image",
    prompt_text="@ada at the window",
    media=(
        Media(role=Role.REFERENCE, asset="images/ada.png", scene_id="cast", tag="ada", subject="human"),
        Media(role=Role.REFERENCE, uri="https://example.com/a.jpg"),
    ),
    duration_seconds=2.5,
    parameters={"output_count": 2},
    options={"quality": "low"},
)


def test_what_the_release_before_does_not_know_stands_beside_the_spec_that_it_reads() -> None:
    row = spec_to_row(SPOKEN)
    known = set(json.loads(ROWS["bare"][1]))

    assert set(row["spec"]) == known
    assert {name for item in row["spec"]["media"] for name in item} == {"role", "uri", "digest", "asset", "at_seconds"}
    assert (row["kind"], row["operation"], row["duration_seconds"]) == ("IMAGE", "text_to_image", 3)


@pytest.mark.parametrize("seconds", [1.0, 2.5, 0.5])
def test_the_release_before_finds_no_length_that_is_no_whole_number(seconds: float) -> None:
    sound = replace(SPOKEN, operation=Operation.SOUND_EFFECT, media=(), parameters={}, duration_seconds=seconds)

    row = json.loads(json.dumps(spec_to_row(sound)))

    # It puts what it reads into an integer field: the whole page of a list fails where that is none.
    assert row["spec"]["duration_seconds"] is None
    assert spec_from_row(row) == sound


def test_a_spec_of_any_kind_comes_back_whole() -> None:
    row = json.loads(json.dumps(spec_to_row(SPOKEN)))

    assert spec_from_row(row) == SPOKEN


def test_a_spec_that_was_not_read_still_tells_what_is_made() -> None:
    spec = spec_from_row({"model": "gen4_image", "operation": "text_to_image"})

    assert (spec.model, spec.kind) == ("gen4_image", MediaKind.IMAGE)


def test_an_operation_that_this_release_does_not_know_is_no_video() -> None:
    with pytest.raises(ValueError, match="hologram"):
        spec_from_row({**spec_to_row(GenerationSpec(model="gen4.5")), "operation": "hologram"})


def test_each_column_of_a_job_is_of_its_request_or_of_its_life() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    job = Job(job_id="job-1", request=request_at(now), created_at=now, updated_at=now)

    assert set(OF_REQUEST) == request_to_row(job.request).keys()
    # Slots are granted by the scheduler, and set where a change of a job asks for one.
    assert {column.name for column in LIFE} == {"job_id", "slot", *life_to_row(job)}
