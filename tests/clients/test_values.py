"""What the clients for daily use make of messages and of the environment."""

from datetime import UTC, datetime
from typing import get_args

import pytest

import evergreen
from evergreen import (
    AsyncClient,
    Client,
    Job,
    JobState,
    Kind,
    MediaKind,
    Resolution,
    Stage,
    State,
    SubmissionResolution,
)
from evergreen.job import number, word
from evergreen.v1 import video_pb2


def test_the_short_words_are_those_of_the_contract() -> None:
    words = [
        (State, JobState, "cancelling"),
        (Stage, evergreen.JobStage, "throttled"),
        (Kind, MediaKind, "speech"),
        (Resolution, SubmissionResolution, "attach"),
    ]
    for literal, kind, example in words:
        assert set(get_args(literal)) == {word(kind.DESCRIPTOR, value) for value in kind.values() if value}
        assert word(kind.DESCRIPTOR, number(kind.DESCRIPTOR, example, "word")) == example
    with pytest.raises(ValueError, match="there is no state 'faild'; there are queued, running, needs_attention"):
        number(JobState.DESCRIPTOR, "faild", "state")
    assert word(JobState.DESCRIPTOR, 99) == "99"


def test_a_job_has_aware_times_and_none_for_what_is_absent() -> None:
    begun = datetime(2026, 11, 28, 12, tzinfo=UTC)
    message = video_pb2.Job(
        job_id="j", state="JOB_STATE_RUNNING", stage="JOB_STAGE_GENERATING", kind="MEDIA_KIND_VIDEO"
    )
    message.create_time.FromDatetime(begun)
    message.outputs.add(asset="videos/j.mp4", size_bytes=2**40)
    message.labels["take"] = "2"

    told = Job.of(message)

    assert (told.state, told.stage, told.kind, told.create_time) == ("running", "generating", "video", begun)
    assert (told.end_time, told.eta, told.charged_credits, told.model, told.error) == (None, None, None, None, None)
    assert (told.outputs[0].width, told.outputs[0].poster) == (None, None)
    assert told.message is message
    plain = told.to_dict()
    assert (plain["create_time"], plain["outputs"][0]["size_bytes"]) == ("2026-11-28T12:00:00+00:00", 2**40)
    assert (plain["labels"], plain["end_time"], "message" in plain) == ({"take": "2"}, None, False)
    assert hash(told) == hash(Job.of(message))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("EVERGREEN_TLS", "maybe", "EVERGREEN_TLS must be 1 or 0, not 'maybe'"),
        ("EVERGREEN_TLS_CLIENT_CERT", __file__, "give both"),
        ("EVERGREEN_TLS_CA", "/nowhere.pem", "/nowhere.pem"),
        ("EVERGREEN_TOKEN_FILE", "/nowhere", "/nowhere"),
        ("EVERGREEN_ENDPOINT", "http://localhost", "must be HOST:PORT"),
        ("EVERGREEN_TOKEN", "two words", "visible ASCII"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)

    for kind in (Client, AsyncClient):
        with pytest.raises((OSError, ValueError), match=told):
            kind()


def test_the_version_is_that_of_the_package() -> None:
    assert evergreen.__version__ == "0.1.0"
    assert not hasattr(evergreen, "__nothing__")
