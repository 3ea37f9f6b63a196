import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import evergreen
from evergreen import (
    ALL_KINDS,
    INLINE_LIMIT,
    CallError,
    DeadlineExceeded,
    EventKind,
    FieldViolation,
    InvalidRequest,
    JobNotFound,
    JobState,
    Media,
    MediaRole,
    MediaTooLarge,
    NotFound,
    OnUnknownSubmission,
    SubmissionResolution,
    Unavailable,
    WireClient,
    inline_media,
)
from evergreen.v1.scene_pb2 import CreateSceneResponse, DeleteSceneResponse, GetSceneResponse, ListScenesResponse, Scene
from evergreen.v1.video_pb2 import (
    CancelVideoResponse,
    GenerateVideoRequest,
    GenerateVideoResponse,
    GetAccountResponse,
    GetCallerResponse,
    GetStatusResponse,
    ListModelsResponse,
    ListProjectsResponse,
    ListVideosRequest,
    ListVideosResponse,
    Model,
    Project,
    ResolveSubmissionResponse,
)
from tests.clients.scripted import UNAVAILABLE, Fault, ScriptedService, job

ACCEPTED = GenerateVideoResponse(job=job(), estimated_credits=25.0)
MINIMUM = {"project_id": "p", "scene_id": "s", "model": "gen4_turbo"}


@pytest.fixture
async def unretried(service: ScriptedService) -> AsyncIterator[WireClient]:
    async with WireClient(service.target, timeout=5.0, options=[("grpc.enable_retries", 0)]) as client:
        yield client


async def test_a_request_keeps_its_id_over_every_retry(service: ScriptedService, client: WireClient) -> None:
    service.answers["GenerateVideo"] = [UNAVAILABLE, UNAVAILABLE, ACCEPTED, ACCEPTED]

    await client.generate(**MINIMUM)
    await client.generate(**MINIMUM)

    ids = [request.request_id for request in service.requests["GenerateVideo"]]
    assert len(ids) == 4
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert len(ids[0]) == 32


async def test_a_call_is_given_up_after_some_retries(service: ScriptedService, client: WireClient) -> None:
    service.answers["GetStatus"] = [UNAVAILABLE] * 9

    with pytest.raises(Unavailable):
        await client.status("job-1")

    assert len(service.requests["GetStatus"]) == 5


async def test_only_what_was_unavailable_is_retried(service: ScriptedService, client: WireClient) -> None:
    service.answers["GetStatus"] = [Fault(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL")] * 2

    with pytest.raises(evergreen.QueueFull):
        await client.status("job-1")

    assert len(service.requests["GetStatus"]) == 1


async def test_every_field_reaches_the_wire(service: ScriptedService, client: WireClient, tmp_path: Path) -> None:
    service.answers["GenerateVideo"] = [ACCEPTED]
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"jpeg")
    start_by = datetime(2030, 1, 31, 17, 0, 0, 250_000, tzinfo=UTC)
    last = Media(uri="https://example.com/last.png", role=MediaRole.MEDIA_ROLE_LAST_FRAME)

    accepted = await client.generate(
        **MINIMUM,
        request_id="mine",
        prompt_text="a fox",
        image=picture,
        media=[last],
        ratio="1280:720",
        resolution="720p",
        duration_seconds=5,
        seed=0,
        options={"audio": False, "tags": ["a", 1.5, None]},
        max_credits=30.5,
        max_attempts=3,
        on_unknown_submission=OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_RESUBMIT,
        priority=-7,
        start_by=start_by,
        finish_by=start_by + timedelta(hours=1),
        labels={"team": "blue"},
    )

    assert accepted == job()
    expected = GenerateVideoRequest(
        **MINIMUM,
        request_id="mine",
        prompt_text="a fox",
        media=[Media(data=b"jpeg", role=MediaRole.MEDIA_ROLE_FIRST_FRAME), last],
        ratio="1280:720",
        resolution="720p",
        duration_seconds=5,
        seed=0,
        max_credits=30.5,
        max_attempts=3,
        on_unknown_submission=OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_RESUBMIT,
        priority=-7,
        labels={"team": "blue"},
    )
    expected.options.update({"audio": False, "tags": ["a", 1.5, None]})
    expected.start_by.FromJsonString("2030-01-31T17:00:00.250Z")
    expected.finish_by.FromJsonString("2030-01-31T18:00:00.250Z")
    assert service.requests["GenerateVideo"] == [expected]


async def test_what_the_caller_leaves_out_is_absent_on_the_wire(service: ScriptedService, client: WireClient) -> None:
    service.answers["GenerateVideo"] = [ACCEPTED]

    await client.generate(**MINIMUM, request_id="mine")

    assert service.requests["GenerateVideo"] == [GenerateVideoRequest(**MINIMUM, request_id="mine")]


@pytest.mark.parametrize(("price", "quote"), [(25.5, 25.5), (None, None)])
async def test_a_quote_makes_no_job(
    service: ScriptedService, client: WireClient, price: float | None, quote: float | None
) -> None:
    service.answers["GenerateVideo"] = [GenerateVideoResponse(estimated_credits=price)]

    assert await client.quote(**MINIMUM) == quote
    assert service.requests["GenerateVideo"][0].validate_only


def test_a_file_over_the_limit_cannot_be_sent_as_bytes(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(INLINE_LIMIT + 1))

    with pytest.raises(MediaTooLarge, match=r"3 MiB.*large\.png is larger.*uploads it"):
        inline_media(large)


async def test_a_time_without_a_zone_is_refused(client: WireClient) -> None:
    with pytest.raises(ValueError, match="start_by must be timezone-aware"):
        await client.generate(**MINIMUM, start_by=datetime(2030, 1, 1))


REASONS = [
    ("INVALID_ARGUMENT", "INVALID_REQUEST", evergreen.InvalidRequest),
    ("ALREADY_EXISTS", "REQUEST_ID_REUSED", evergreen.RequestIdReused),
    ("NOT_FOUND", "JOB_NOT_FOUND", evergreen.JobNotFound),
    ("NOT_FOUND", "SCENE_NOT_FOUND", evergreen.SceneNotFound),
    ("NOT_FOUND", "FILM_NOT_FOUND", evergreen.FilmNotFound),
    ("NOT_FOUND", "PLAN_NOT_FOUND", evergreen.PlanNotFound),
    ("ABORTED", "PLAN_CHANGED", evergreen.PlanChanged),
    ("ALREADY_EXISTS", "PLAN_DELETED", evergreen.PlanDeleted),
    ("ALREADY_EXISTS", "SCENE_TAKEN", evergreen.SceneTaken),
    ("FAILED_PRECONDITION", "NEEDS_RESOLUTION", evergreen.NeedsResolution),
    ("FAILED_PRECONDITION", "NOT_RESOLVABLE", evergreen.NotResolvable),
    ("FAILED_PRECONDITION", "PRICE_UNKNOWN", evergreen.PriceUnknown),
    ("FAILED_PRECONDITION", "CREDITS_EXCEEDED", evergreen.CreditsExceeded),
    ("FAILED_PRECONDITION", "PROVIDER_TASK_NOT_FOUND", evergreen.ProviderTaskNotFound),
    ("FAILED_PRECONDITION", "PROVIDER_TASK_TAKEN", evergreen.ProviderTaskTaken),
    ("FAILED_PRECONDITION", "PROVIDER_UNAUTHORIZED", evergreen.ProviderUnauthorized),
    ("FAILED_PRECONDITION", "PROJECT_CREDITS_EXCEEDED", evergreen.ProjectCreditsExceeded),
    ("FAILED_PRECONDITION", "SCENE_UNSUPPORTED", evergreen.SceneUnsupported),
    ("ALREADY_EXISTS", "JOB_DELETED", evergreen.JobDeleted),
    ("OUT_OF_RANGE", "CURSOR_AHEAD", evergreen.CursorAhead),
    ("OUT_OF_RANGE", "CURSOR_COMPACTED", evergreen.CursorCompacted),
    ("UNAVAILABLE", "DRAINING", evergreen.Draining),
    ("UNAVAILABLE", "STORAGE_UNAVAILABLE", evergreen.StorageUnavailable),
    ("UNAVAILABLE", "PROVIDER_UNAVAILABLE", evergreen.ProviderUnavailable),
    ("RESOURCE_EXHAUSTED", "QUEUE_FULL", evergreen.QueueFull),
    ("UNIMPLEMENTED", "NOT_IMPLEMENTED", evergreen.NotOffered),
    ("INTERNAL", "INTERNAL", evergreen.InternalError),
    ("NOT_FOUND", "A_REASON_OF_TOMORROW", evergreen.NotFound),
    ("NOT_FOUND", "", evergreen.NotFound),
    ("UNAVAILABLE", "", evergreen.Unavailable),
    ("UNAUTHENTICATED", "", evergreen.Unauthenticated),
    ("PERMISSION_DENIED", "", evergreen.PermissionDenied),
    ("ABORTED", "", evergreen.CallError),
]


@pytest.mark.parametrize(("code", "reason", "error"), REASONS, ids=[f"{code}-{reason}" for code, reason, _ in REASONS])
async def test_each_reason_has_its_error(
    service: ScriptedService, unretried: WireClient, code: str, reason: str, error: type[CallError]
) -> None:
    service.answers["GetStatus"] = [Fault(code=grpc.StatusCode[code], reason=reason, metadata={"job_id": "x"})]

    with pytest.raises(CallError) as caught:
        await unretried.status("x")

    assert type(caught.value) is error
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode[code], reason)
    unreached = (code, reason) == ("UNAVAILABLE", "")
    assert caught.value.message == ("the service cannot be reached" if unreached else "as scripted")
    assert caught.value.metadata == ({"job_id": "x"} if reason else {})
    assert caught.value.__cause__ is caught.value.rpc_error
    assert isinstance(caught.value.rpc_error, grpc.aio.AioRpcError)


async def test_bad_input_names_every_field(service: ScriptedService, client: WireClient) -> None:
    fault = Fault(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_REQUEST",
        violations={"ratio": "must be 1280:720", "media[0].role": "must be given"},
    )
    service.answers["GenerateVideo"] = [fault]

    with pytest.raises(InvalidRequest) as caught:
        await client.generate(**MINIMUM)

    assert caught.value.violations == (
        FieldViolation(field="ratio", description="must be 1280:720"),
        FieldViolation(field="media[0].role", description="must be given"),
    )


async def test_details_of_another_domain_or_that_do_not_parse_leave_the_code(
    service: ScriptedService, client: WireClient
) -> None:
    class Garbled(Fault):
        async def abort(self, context: grpc.aio.ServicerContext) -> None:
            await context.abort(self.code, self.message, (("grpc-status-details-bin", b"\xff\xff\xff"),))

    service.answers["GetStatus"] = [Garbled(code=grpc.StatusCode.NOT_FOUND)]

    with pytest.raises(NotFound) as caught:
        await client.status("x")

    assert (caught.value.reason, caught.value.violations) == ("", ())


async def test_a_call_without_an_answer_ends_by_its_deadline(service: ScriptedService) -> None:
    silent = asyncio.Event()

    class Silent(Fault):
        async def abort(self, context: grpc.aio.ServicerContext) -> None:
            await silent.wait()

    service.answers["GetStatus"] = [Silent(code=grpc.StatusCode.OK)]

    async with WireClient(service.target, timeout=0.2) as client:
        with pytest.raises(DeadlineExceeded) as caught:
            await client.status("x")
    silent.set()

    assert isinstance(caught.value, TimeoutError)


async def test_each_verb_sends_its_request_and_returns_its_answer(service: ScriptedService, client: WireClient) -> None:
    service.answers["GetStatus"] = [GetStatusResponse(job=job())]
    service.answers["CancelVideo"] = [CancelVideoResponse(job=job(state="CANCELLING"))]
    service.answers["ResolveSubmission"] = [ResolveSubmissionResponse(job=job(state="RUNNING"))]
    service.answers["ListModels"] = [ListModelsResponse(models=[Model(model="gen4_turbo")])]
    service.answers["GetAccount"] = [GetAccountResponse(credit_balance=7.5)]
    service.answers["GetCaller"] = [GetCallerResponse(name="studio")]
    service.answers["CreateScene"] = [CreateSceneResponse(scene=Scene(scene_id="s"))]
    service.answers["GetScene"] = [GetSceneResponse(scene=Scene(scene_id="s", status="draft"))]
    service.answers["DeleteScene"] = [DeleteSceneResponse(left=["images/"])]

    assert await client.status("job-1") == job()
    assert (await client.cancel("job-1")).state == JobState.JOB_STATE_CANCELLING
    attach = SubmissionResolution.SUBMISSION_RESOLUTION_ATTACH
    assert await client.resolve("job-1", attach, provider_task_id="t") == job()
    assert [model.model for model in await client.models()] == ["gen4_turbo"]
    assert (await client.account()).credit_balance == 7.5
    assert (await client.caller()).name == "studio"
    assert (await client.scenes.create("p", "s")).scene_id == "s"
    assert (await client.scenes.show("p", "s")).status == "draft"
    assert await client.scenes.delete("p", "s") == ("images/",)
    resolved = service.requests["ResolveSubmission"][0]
    assert (resolved.job_id, resolved.resolution, resolved.provider_task_id) == ("job-1", attach, "t")
    scene = service.requests["GetScene"][0]
    assert (scene.project_id, scene.scene_id) == ("p", "s")


async def test_listing_goes_from_page_to_page_with_the_same_filters(
    service: ScriptedService, client: WireClient
) -> None:
    service.answers["ListVideos"] = [
        ListVideosResponse(jobs=[job("c"), job("b")], next_page_token="2"),
        ListVideosResponse(next_page_token="3"),
        ListVideosResponse(jobs=[job("a")]),
    ]
    service.answers["ListScenes"] = [
        ListScenesResponse(scenes=[Scene(scene_id="x")], next_page_token="2"),
        ListScenesResponse(scenes=[Scene(scene_id="y")]),
    ]
    failed = JobState.JOB_STATE_FAILED

    assert [each.job_id async for each in client.list(project_id="p", states=[failed], page_size=2)] == ["c", "b", "a"]
    assert [scene.scene_id async for scene in client.scenes.list("p")] == ["x", "y"]
    asked = service.requests["ListVideos"]
    assert [request.page_token for request in asked] == ["", "2", "3"]
    assert all((request.project_id, list(request.states), request.page_size) == ("p", [failed], 2) for request in asked)


async def test_a_list_is_asked_for_by_every_filter_and_order(service: ScriptedService, client: WireClient) -> None:
    service.answers["ListVideos"] = [ListVideosResponse(jobs=[job("a")]), ListVideosResponse()]
    zone = timezone(timedelta(hours=2))

    listed = client.list(
        project_id="p",
        labels={"take": "1"},
        models=["gen4_turbo"],
        created_from=datetime(1970, 1, 1, 2, tzinfo=zone),
        created_before=datetime(1970, 1, 1, 2, 0, 1, tzinfo=zone),
        newest_first=True,
    )
    assert [each.job_id async for each in listed] == ["a"]
    assert [each async for each in client.list()] == []
    filtered, plain = service.requests["ListVideos"]
    assert filtered == ListVideosRequest(
        project_id="p",
        kinds=ALL_KINDS,
        labels={"take": "1"},
        models=["gen4_turbo"],
        created_from=Timestamp(),
        created_before=Timestamp(seconds=1),
        order="LIST_ORDER_NEWEST_FIRST",
    )
    assert plain == ListVideosRequest(kinds=ALL_KINDS)
    with pytest.raises(ValueError, match="created_from"):
        client.list(created_from=datetime(2026, 1, 1))


async def test_projects_are_listed_page_by_page(service: ScriptedService, client: WireClient) -> None:
    service.answers["ListProjects"] = [
        ListProjectsResponse(projects=[Project(project_id="a"), Project(project_id="b")], next_page_token="2"),
        ListProjectsResponse(projects=[Project(project_id="c")]),
    ]

    assert [project.project_id async for project in client.projects(page_size=2)] == ["a", "b", "c"]
    asked = service.requests["ListProjects"]
    assert [(request.page_token, request.page_size) for request in asked] == [("", 2), ("2", 2)]


@pytest.mark.parametrize(("answer", "healthy"), [(b"\x08\x01", True), (b"\x08\x02", False), (b"", False)])
async def test_health_is_the_standard_check(
    service: ScriptedService, client: WireClient, answer: bytes, healthy: bool
) -> None:
    service.health = answer

    assert await client.healthy() is healthy


async def test_a_closed_client_says_how_to_open_it(service: ScriptedService) -> None:
    client = WireClient(service.target)

    with pytest.raises(RuntimeError, match="async with WireClient"):
        await client.status("x")
    with pytest.raises(RuntimeError, match="async with WireClient"):
        client.watch(project_id="p")

    async with client:
        service.answers["GetStatus"] = [Fault(code=grpc.StatusCode.NOT_FOUND, reason="JOB_NOT_FOUND")]
        with pytest.raises(JobNotFound):
            await client.status("x")


def test_importing_the_client_imports_neither_the_command_line_nor_the_server() -> None:
    heavy = {"click", "rich", "evergreen_server", "evergreen_storage"}
    script = f"import sys, evergreen; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"


def test_every_public_name_exists() -> None:
    assert all(hasattr(evergreen, name) for name in evergreen.__all__)
    assert EventKind.EVENT_KIND_SUCCEEDED
