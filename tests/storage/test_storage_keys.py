"""Ids, names and paths: what is allowed, and what is said where it is not."""

import pytest

from evergreen_storage import id_error, path_error


@pytest.mark.parametrize("kind", ["project", "scene", "job", "asset"])
def test_a_hostile_name_is_refused_with_its_rule(kind: str, hostile: str) -> None:
    error = id_error(kind, hostile)  # type: ignore[arg-type]  # a parametrised literal

    assert error is not None
    assert error.startswith(f"the {kind}")


@pytest.mark.parametrize("value", ["a", "A-b_c9", "0", "x" * 63, "CONSOLE", "com10"])
def test_an_ordinary_id_is_allowed(value: str) -> None:
    assert id_error("project", value) is None
    assert id_error("scene", value) is None


@pytest.mark.parametrize("value", ["x" * 64, "a.b"])
def test_an_id_is_narrower_than_an_asset_name(value: str) -> None:
    assert id_error("scene", value) is not None
    assert id_error("asset", value) is None


@pytest.mark.parametrize("value", ["a.", "con.mp4", "NUL.tar.gz", "x" * 129])
def test_an_asset_name_that_some_disk_misreads_is_refused(value: str) -> None:
    assert id_error("asset", value) is not None


def test_no_job_may_take_the_name_of_the_scene_document() -> None:
    assert id_error("job", "Scene") is not None
    assert id_error("job", "01890a5d-ac96-774b-bcce-b302099a8057") is None


@pytest.mark.parametrize("path", ["", "videos", "videos/", "videos/a/b", "other/a.mp4", "videos/../a", "/videos/a"])
def test_a_path_that_is_not_a_folder_and_a_name_is_refused(path: str) -> None:
    assert path_error(path) is not None


def test_a_path_of_a_folder_and_a_name_is_allowed() -> None:
    assert path_error("videos/clip-1.mp4") is None
