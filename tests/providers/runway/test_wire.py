"""What requests are made of, and how leniently answers are read."""

import pytest

from evergreen_server.ports.provider import TaskState
from evergreen_server.ports.specs import GenerationSpec, Json, Media, PreparedMedia, Role
from evergreen_server.providers.runway.http import wire

TASK_ID = "3f0c2f6e-6a0b-4c57-9a0e-0d8d9f1f6b11"


def prepared(role: Role, number: int, at_seconds: float | None = None) -> PreparedMedia:
    return PreparedMedia(role=role, uri=f"runway://asset-{number}", at_seconds=at_seconds)


REQUESTS: list[tuple[GenerationSpec, list[PreparedMedia], str, dict[str, Json]]] = [
    (
        GenerationSpec(model="gen4_turbo", ratio="1280:720"),
        [prepared(Role.FIRST_FRAME, 1)],
        "/v1/image_to_video",
        {"model": "gen4_turbo", "ratio": "1280:720", "promptImage": "runway://asset-1"},
    ),
    (
        GenerationSpec(model="gen4.5", prompt_text="x", ratio="1280:720", duration_seconds=5),
        [],
        "/v1/text_to_video",
        {"model": "gen4.5", "promptText": "x", "ratio": "1280:720", "duration": 5},
    ),
    (
        GenerationSpec(model="veo3.1", ratio="1280:720", seed=0, options={"audio": False}),
        [prepared(Role.FIRST_FRAME, 1), prepared(Role.LAST_FRAME, 2)],
        "/v1/image_to_video",
        {
            "model": "veo3.1", "ratio": "1280:720", "seed": 0, "audio": False,
            "promptImage": [
                {"uri": "runway://asset-1", "position": "first"}, {"uri": "runway://asset-2", "position": "last"},
            ],
        },
    ),
    (
        GenerationSpec(model="seedance2", options={"duration": "auto"}),
        [prepared(Role.REFERENCE, 1), prepared(Role.REFERENCE_AUDIO, 2)],
        "/v1/image_to_video",
        {
            "model": "seedance2", "duration": "auto", "promptImage": [{"uri": "runway://asset-1"}],
            "referenceAudio": [{"uri": "runway://asset-2", "type": "audio"}],
        },
    ),
    (
        GenerationSpec(model="seedance2", prompt_text="x"),
        [prepared(Role.REFERENCE, 1), prepared(Role.REFERENCE_VIDEO, 2)],
        "/v1/text_to_video",
        {
            "model": "seedance2", "promptText": "x", "references": [{"uri": "runway://asset-1"}],
            "referenceVideos": [{"uri": "runway://asset-2", "type": "video"}],
        },
    ),
    (
        GenerationSpec(model="aleph2", prompt_text="x"),
        [prepared(Role.SOURCE_VIDEO, 1), prepared(Role.KEYFRAME, 2, 1.5)],
        "/v1/video_to_video",
        {
            "model": "aleph2", "promptText": "x", "videoUri": "runway://asset-1",
            "keyframes": [{"uri": "runway://asset-2", "seconds": 1.5}],
        },
    ),
    (
        GenerationSpec(model="seedance2", ratio="1280:720"),
        [prepared(Role.SOURCE_VIDEO, 1)],
        "/v1/video_to_video",
        {"model": "seedance2", "ratio": "1280:720", "promptVideo": "runway://asset-1"},
    ),
    (
        GenerationSpec(
            model="klingO3_pro",
            options={"providerSettings": {"multiPrompt": [{"prompt": "x", "duration": 5.0}]}},
        ),
        [prepared(Role.FIRST_FRAME, 1), prepared(Role.REFERENCE, 2)],
        "/v1/image_to_video",
        {
            "model": "klingO3_pro", "promptImage": "runway://asset-1", "references": [{"uri": "runway://asset-2"}],
            "providerSettings": {"multiPrompt": [{"prompt": "x", "duration": 5}]},
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "media", "path", "body"), REQUESTS)
def test_a_spec_and_its_media_become_a_path_and_a_body(
    spec: GenerationSpec, media: list[PreparedMedia], path: str, body: dict[str, Json]
) -> None:
    found, composed = wire.request_for(spec, media)

    assert found == path
    assert wire.parse(b"".join(wire.encode(composed.body))) == body


def test_whole_doubles_go_out_as_integers() -> None:
    spec = GenerationSpec(model="kling3.0_pro", ratio="1920:1080", options={"cfgScale": 0.5, "n": [1.0, {"m": 2.0}]})

    _, composed = wire.request_for(spec, [])

    assert b"".join(wire.encode(composed.body)).endswith(b'"cfgScale":0.5,"n":[1,{"m":2}]}')


@pytest.mark.parametrize(
    ("progress", "read"),
    [(0.45, 0.45), (0, 0.0), (1.7, 1.0), (-1, 0.0), (None, None), ("half", None), (True, None), (float("nan"), None)],
)
def test_progress_is_kept_between_nought_and_one(progress: Json, read: float | None) -> None:
    task = wire.read_task(TASK_ID, {"status": "RUNNING", "progress": progress})

    assert task is not None
    assert task.progress == read


@pytest.mark.parametrize("status", ["PENDING", "THROTTLED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"])
def test_each_status_of_the_api_is_known(status: str) -> None:
    task = wire.read_task(TASK_ID, {"status": status})

    assert task is not None
    assert task.state is TaskState(status)


def test_a_status_never_seen_is_unknown_and_kept_for_the_log() -> None:
    task = wire.read_task(TASK_ID, {"status": "DREAMING", "progress": 0.5})

    assert task is not None
    assert (task.state, task.status, task.progress) == (TaskState.UNKNOWN, "DREAMING", 0.5)


def test_a_finished_task_gives_its_outputs_and_its_cost() -> None:
    answer: Json = {
        "id": TASK_ID, "status": "SUCCEEDED", "output": ["https://a.org/1", 5, "https://a.org/2"],
        "cost": {"credits": 12.25}, "previewUrls": ["x"],
    }  # fmt: skip

    task = wire.read_task(TASK_ID, answer)

    assert task is not None
    assert task.output_urls == ("https://a.org/1", "https://a.org/2")
    assert (task.charged_millicredits, task.estimated_millicredits) == (12_250, None)


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"status": 5}, {"status": None}])
def test_what_is_no_task_is_told_apart(answer: Json) -> None:
    assert wire.read_task(TASK_ID, answer) is None


@pytest.mark.parametrize(
    ("code", "reason", "retryable", "free"),
    [
        ("SAFETY.INPUT.IMAGE", "MODERATED_INPUT", False, False),
        ("SAFETY.INPUT.TEXT.MORE", "MODERATED_INPUT", False, False),
        ("INPUT_PREPROCESSING.SAFETY.TEXT", "MODERATED_INPUT", False, False),
        ("SAFETY.OUTPUT.VIDEO", "MODERATED_OUTPUT", False, False),
        ("INPUT_PREPROCESSING.INTERNAL", "PROVIDER_INTERNAL", True, True),
        ("INTERNAL.BAD_OUTPUT.CODE01", "BAD_OUTPUT", False, True),
        ("INTERNAL.BAD_OUTPUT", "BAD_OUTPUT", False, True),
        ("ASSET.INVALID", "ASSET_INVALID", False, True),
        ("THIRD_PARTY.UNAVAILABLE", "PROVIDER_OVERLOADED", True, True),
        ("INTERNAL", "PROVIDER_INTERNAL", True, True),
        ("INTERNAL.SOMETHING", "PROVIDER_INTERNAL", True, True),
        (None, "PROVIDER_INTERNAL", True, True),
        (5, "PROVIDER_INTERNAL", True, True),
        ("NEVER.SEEN", "PROVIDER_INTERNAL", False, False),
    ],
)
def test_each_failure_code_has_its_advice(code: Json, reason: str, retryable: bool, free: bool) -> None:
    answer: Json = {"status": "FAILED", "failure": "It went wrong.", "failureCode": code, "cost": {"credits": 0}}

    task = wire.read_task(TASK_ID, answer)

    assert task is not None
    assert task.failure is not None
    assert (task.failure.reason, task.failure.retryable, task.failure.free) == (reason, retryable, free)
    assert task.failure.message == "It went wrong."
    assert task.failure.code == (code if isinstance(code, str) else "")
    assert task.charged_millicredits == 0


def test_a_failure_without_a_word_still_says_so() -> None:
    task = wire.read_task(TASK_ID, {"status": "FAILED"})

    assert task is not None
    assert task.failure is not None
    assert task.failure.message == "The provider gave no reason."
    assert task.charged_millicredits is None


@pytest.mark.parametrize("answer", [None, {}, {"creditBalance": "many"}, {"creditBalance": None}])
def test_an_account_without_a_balance_is_none(answer: Json) -> None:
    assert wire.read_account(answer) is None


def test_an_account_survives_missing_and_odd_members() -> None:
    account = wire.read_account({"creditBalance": 5, "tier": {"models": {"x": 1}}, "usage": []})

    assert account is not None
    assert account.max_monthly_millicredits is None
    assert account.limits["x"].used_today == 0


def test_a_providers_text_is_made_fit_to_show() -> None:
    key = "key_" + "ab" * 64
    text = f'Bad "data:image/png;base64,AAAA" at https://a.org/v?_jwt=s#x with {key}\nand \x00more'

    assert wire.clean(text) == 'Bad "data:[…]" at https://a.org/v with [key] and  more'
    assert wire.clean("the sandbox-key", secret="sandbox-key") == "the [key]"
    assert len(wire.clean("x" * 100_000)) == 500


def test_media_of_a_request_are_those_that_were_prepared() -> None:
    """The spec's own media carry callers' URIs, which must not reach the provider unchecked."""
    spec = GenerationSpec(model="gen4_turbo", ratio="1280:720", media=(Media(role=Role.FIRST_FRAME, uri="http://raw"),))

    _, composed = wire.request_for(spec, [prepared(Role.FIRST_FRAME, 1)])

    assert composed.body["promptImage"] == "runway://asset-1"
