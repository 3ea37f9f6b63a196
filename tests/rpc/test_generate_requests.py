"""Requests of `Generate`: each field of the contract goes into a spec, into its row, and comes back as it was."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.json_format import ParseDict

from evergreen.v1 import video_pb2
from evergreen_server.jobs.db.mapping import spec_from_row, spec_to_row
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import OnUnknownSubmission
from evergreen_server.ports.specs import CLIPS, FieldError, MediaKind, Operation, kind_made
from evergreen_server.providers.runway.catalog.models import RunwayModels
from evergreen_server.rpc.messages.accepted import generate_request_message
from evergreen_server.rpc.messages.operations import MEMBERS, media_paths, named
from evergreen_server.rpc.messages.requests import digest_of, read_generate_request
from evergreen_server.rpc.messages.values import parse_time

URL = {"uri": "https://example.com/a"}
ASSET = {"asset": "images/ada.png", "scene_id": "cast", "tag": "ada", "subject": "human"}
WHOLE: dict[str, dict[str, object]] = {
    "image": {"prompt_text": "a lamp", "ratio": "1:1", "output_count": 2, "references": [ASSET, URL]},
    "speech": {"text": "Hello.", "voice": "Maya", "voice_reference": URL, "language": "en"},
    "sound": {
        "prompt_text": "rain",
        "duration_seconds": 2.5,
        "loop": True,
        "references": [URL, {"asset": "audio/b.mp3"}],
        "output_count": 2,
    },
    "video_sound": {"video": URL, "prompt_text": "steps", "duration_seconds": 3.5, "output_count": 4},
    "voice_change": {"video": URL, "voice": "Maya", "max_source_seconds": 9.5},
    "dubbing": {"audio": URL, "target_language": "de", "max_source_seconds": 60},
    "voice_isolation": {"audio": {"asset": "audio/b.mp3", "scene_id": "cast"}, "max_source_seconds": 60},
    "performance": {
        "character_image": URL,
        "performance": {"asset": "videos/a.mp4"},
        "ratio": "1280:720",
        "max_source_seconds": 5,
    },
    "video_upscale": {"video": URL, "resolution": "4k", "target_frame_rate": "60", "max_source_seconds": 5},
    "hdr": {"video": URL, "max_source_seconds": 5},
    "image_upscale": {"image": URL, "scale_factor": 4},
    "multi_shot": {
        "prompt_text": "a walk",
        "shots": [{"prompt_text": "a door", "duration_seconds": 5}, {"prompt_text": "a hill", "duration_seconds": 5}],
        "first_frame": URL,
        "ratio": "1280:720",
        "duration_seconds": 10,
        "audio": False,
    },
    "avatar_video": {"avatar_id": "6f2c", "text": "Hello.", "voice_id": "77aa"},
}
"""Every field of every member, valid or not: a request is read first, and judged elsewhere."""
MORE = (
    ("voice_change", {"audio": URL, "voice": "Maya"}),
    ("performance", {"character_video": URL, "performance": URL}),
    ("avatar_video", {"avatar": "influencer", "audio": URL, "voice": "maya"}),
    ("multi_shot", {"audio": True}),
    ("hdr", {}),
)


def message_of(member: str, fields: dict[str, object]) -> video_pb2.GenerateRequest:
    envelope = {
        "project_id": "film",
        "scene_id": "scene-1",
        "request_id": "one",
        "model": "a_model",
        "options": {"quality": "low", "sizes": [1, 2.5]},
        "seed": 7,
        "max_credits": 2.5,
        "max_attempts": 3,
        "on_unknown_submission": "ON_UNKNOWN_SUBMISSION_RESUBMIT",
        "priority": -5,
        "start_by": "2027-01-01T00:00:00Z",
        "finish_by": "2027-01-02T00:00:00Z",
        "labels": {"take": "2"},
    }
    return ParseDict({**envelope, member: fields}, video_pb2.GenerateRequest())


def test_the_table_of_members_is_the_contracts() -> None:
    fields = video_pb2.GenerateRequest.DESCRIPTOR.oneofs_by_name["operation"].fields

    assert [field.name for field in fields] == list(MEMBERS) == list(WHOLE)
    assert {member.operation for member in MEMBERS.values()} == {
        Operation(rules.operation)
        for info in RunwayModels().models()
        for rules in info.rules
        if rules.operation not in CLIPS
    }
    assert {kind_made(member.operation) for member in MEMBERS.values()} == set(MediaKind)


@pytest.mark.parametrize(("member", "fields"), [*WHOLE.items(), *MORE])
def test_what_was_asked_comes_back_from_the_row_as_it_was(member: str, fields: dict[str, object]) -> None:
    message = message_of(member, fields)

    read = read_generate_request(message)
    spec = spec_from_row(json.loads(json.dumps(spec_to_row(read.spec))))
    assert not read.unread_media
    assert isinstance(read.on_unknown_submission, OnUnknownSubmission)
    job = Job(
        job_id="job",
        request=JobRequest(
            project_id="film",
            scene_id="scene-1",
            request_id="one",
            digest=read.digest,
            spec=spec,
            priority=read.priority,
            max_attempts=read.max_attempts,
            on_unknown_submission=read.on_unknown_submission,
            max_millicredits=2500,
            start_by=parse_time(message.start_by),
            finish_by=parse_time(message.finish_by),
            labels=read.labels,
        ),
        created_at=datetime.now(UTC),
        updated_at=datetime.now(UTC),
    )

    assert generate_request_message(job) == message


def test_every_field_of_the_contract_is_tried_above() -> None:
    for member, fields in WHOLE.items():
        known = video_pb2.GenerateRequest.DESCRIPTOR.fields_by_name[member].message_type.fields_by_name
        tried = {*fields, *(name for other, more in MORE if other == member for name in more)}
        assert tried == set(known), member


def test_bytes_are_digested_and_kept_beside_the_spec() -> None:
    fields: dict[str, object] = {"prompt_text": "a lamp", "references": [{"data": "AAAA"}]}
    read = read_generate_request(message_of("image", fields))

    [media] = read.spec.media
    assert read.inline == {media.digest: b"\0\0\0"}


def test_requests_with_other_bodies_have_other_digests() -> None:
    message = message_of("image", {"prompt_text": "a lamp", "references": [{"data": "AAAA"}]})
    others = [
        message_of("image", {"prompt_text": "a lamp", "references": [{"data": "AAAB"}]}),
        message_of("image", {"prompt_text": "a lamp"}),
        message_of("sound", {"prompt_text": "a lamp"}),
        video_pb2.GenerateVideoRequest.FromString(message.SerializeToString()),
    ]
    validated = video_pb2.GenerateRequest()
    validated.CopyFrom(message)
    validated.validate_only = True

    assert digest_of(validated) == digest_of(message)
    assert len({digest_of(other) for other in [message, *others]}) == 5


@pytest.mark.parametrize(
    ("member", "field", "expected"),
    [
        ("image", "prompt_text", "image.prompt_text"),
        ("speech", "prompt_text", "speech.text"),
        ("speech", "parameters.voice", "speech.voice"),
        ("sound", "duration_seconds", "sound.duration_seconds"),
        ("image", "media[1]", "image.references[1]"),
        ("image", "media[0].role", "image.references[0]"),
        ("image", "media[1].tag", "image.references[1].tag"),
        ("image", "media[1].asset", "image.references[1].asset"),
        ("image", "media", "image.references"),
        ("performance", "media", "performance"),
        ("performance", "media[1]", "performance.performance"),
        ("voice_change", "media[0].uri", "voice_change.video.uri"),
        ("multi_shot", "parameters.shots[1].prompt_text", "multi_shot.shots[1].prompt_text"),
        ("image", "options.quality", "options.quality"),
        ("image", "seed", "seed"),
        ("image", "model", "model"),
        ("image", "scene_id", "scene_id"),
    ],
)
def test_errors_are_told_at_the_callers_fields(member: str, field: str, expected: str) -> None:
    message = message_of(member, WHOLE[member])

    [error] = named([FieldError(field=field, description="no")], message)

    assert error == FieldError(field=expected, description="no")


def test_a_piece_of_media_that_says_what_it_is_for_must_be_right() -> None:
    fields: dict[str, object] = {"prompt_text": "a lamp", "references": [{**URL, "role": "MEDIA_ROLE_REFERENCE"}]}
    wrong: dict[str, object] = {"prompt_text": "a lamp", "references": [{**URL, "role": "MEDIA_ROLE_KEYFRAME"}, {}]}

    assert not read_generate_request(message_of("image", fields)).unread_media
    message = message_of("image", wrong)
    read = read_generate_request(message)

    assert [error.field for error in named(list(read.unread_media.values()), message)] == [
        "image.references[0]",
        "image.references[1]",
    ]
    assert media_paths(message) == ["image.references[0]", "image.references[1]"]


def test_times_that_a_row_rounds_come_back_as_they_were() -> None:
    message = message_of("sound", {"prompt_text": "rain", "duration_seconds": 0.5})
    spec = read_generate_request(message).spec

    row = spec_to_row(replace(spec, duration_seconds=0.5))

    assert (row["duration_seconds"], spec_from_row(row).duration_seconds) == (1, 0.5)
    assert timedelta(seconds=spec.whole_seconds or 0) == timedelta(seconds=1)
