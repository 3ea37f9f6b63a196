"""The spec in a job's row, which replicas of the release before read and write beside this one during an upgrade."""

import json

import pytest

from evergreen_server.jobs.db.mapping import spec_from_json, spec_to_json
from evergreen_server.ports.specs import GenerationKind, GenerationSpec, Media, Role

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

    assert json.dumps(spec_to_json(spec)) == written


@pytest.mark.parametrize("name", ROWS)
def test_what_the_release_before_wrote_is_read_as_a_video(name: str) -> None:
    spec, written = ROWS[name]

    read = spec_from_json(json.loads(written))

    assert read == spec
    assert read.kind is GenerationKind.VIDEO


def test_a_kind_that_this_release_does_not_know_is_no_video() -> None:
    with pytest.raises(ValueError, match="HOLOGRAM"):
        spec_from_json({**spec_to_json(GenerationSpec(model="gen4.5")), "kind": "HOLOGRAM"})
