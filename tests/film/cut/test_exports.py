"""Names of exports: the same cut has the same name, and any other another one."""

from dataclasses import replace

import pytest

from evergreen_server.film.cut.exports import beside, export_asset, export_digest
from evergreen_server.film.statuses import Status
from evergreen_server.jobs.model.names import choices, is_reserved
from evergreen_server.ports.timeline import Captions, Timeline
from evergreen_storage.keys import path_error
from tests.film.cut.cuts import MUSIC, WIDE, cut_of
from tests.film.planning import film, scenes_of

SHORT = film(scenes_of(2))


def digest(timeline: Timeline, **profile: object) -> str:
    return export_digest(timeline, replace(WIDE, **profile), renderer="1")


def test_the_same_cut_is_found_again() -> None:
    assert digest(cut_of(SHORT).timeline) == digest(cut_of(film(scenes_of(2))).timeline)


@pytest.mark.parametrize(
    "profile", [{"crf": 21}, {"fps": 25}, {"loudness_lufs": -23.0}, {"captions": Captions.TRACK}, {"name": "other"}]
)
def test_another_form_is_another_export(profile: dict[str, object]) -> None:
    assert digest(cut_of(SHORT).timeline, **profile) != digest(cut_of(SHORT).timeline)


def test_all_that_is_seen_and_heard_is_in_the_digest() -> None:
    moved = cut_of(SHORT, pauses={"scene-1.line-1": ((0.0, 0.5),)})
    changed = [cut_of(SHORT, music=MUSIC), cut_of(SHORT, scene_1_1_clip=Status.STILL), moved]

    assert len({digest(made.timeline) for made in [cut_of(SHORT), *changed]}) == 4


def test_another_renderer_makes_another_export() -> None:
    timeline = cut_of(SHORT).timeline

    assert export_digest(timeline, WIDE, renderer="2") != digest(timeline)


def test_a_name_tells_film_run_and_form() -> None:
    name = export_asset("my-film", run=12, profile="wide", digest="0123456789ab" * 5)

    assert name == "exports/my-film-r12-wide-01234567.mp4"
    assert beside(name, "otio") == "exports/my-film-r12-wide-01234567.otio"


def test_the_longest_names_make_one_that_the_storage_takes_and_that_no_upload_may_use() -> None:
    longest = export_asset("f" * 63, run=999_999, profile="p" * 63, digest="a" * 64)

    # Where the first choice is somebody else's, a letter is added.
    last = list(choices(beside(longest, "json")))[-1]
    assert path_error(last) is None
    assert is_reserved(last)
