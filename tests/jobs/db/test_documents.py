"""JSON of columns, read back as what it was."""

import json

import pytest

from evergreen_server.jobs.db.documents import read_json


@pytest.mark.parametrize("value", [[], {}, [[]], {"a": {}}, None, "", "[]", 0, [1, "é"]])
def test_what_was_written_is_read(value: object) -> None:
    text = json.dumps(value)

    assert read_json(text) == value
    assert read_json(text.encode()) == value


@pytest.mark.parametrize("text", ["[]", "{}"])
def test_no_two_readers_share_what_they_read(text: str) -> None:
    assert read_json(text) is not read_json(text)
    assert read_json(text.encode()) is not read_json(text.encode())


@pytest.mark.parametrize("text", ["", "[", "[}", "{]"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(text)
