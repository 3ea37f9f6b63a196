"""Who may call: by tokens with rights and projects, for every method that the server has."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, empty_pb2
from google.protobuf.descriptor import MethodDescriptor
from grpc_reflection.v1alpha import reflection_pb2

from evergreen.v1 import film_pb2, scene_pb2, video_pb2
from evergreen_server.rpc.access.policy import RULES, Access, Right
from evergreen_server.rpc.access.tokens import read_tokens
from evergreen_server.rpc.handlers import service_handler
from evergreen_server.rpc.messages.paging import make_token
from evergreen_server.runtime.reload import FileUnusable
from tests.rpc.identities import REFUSED, TAKEN, Tokens, bearer, logged
from tests.serving import Api, Control, reason_of, request, serving

LIST_SERVICES = reflection_pb2.ServerReflectionRequest(list_services="")
SCENE = {"project_id": "film", "scene_id": "scene-1"}
CLIP = {**SCENE, "path": "videos/a.mp4"}


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens")


@pytest.fixture
def admin(tokens: Tokens) -> str:
    return tokens.give("operator", projects=(), rights="read write admin")


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control, tokens: Tokens, admin: str) -> AsyncIterator[Api]:
    """A server that knows the operator, and whoever the test has given a token before it."""
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_TOKENS_FILE=str(tokens.path)) as opened:
        yield opened


async def refused(call: object) -> grpc.aio.AioRpcError:
    """The error with which a call ends; of a stream, after whatever comes first."""

    async def end() -> None:
        if not isinstance(call, grpc.aio.UnaryStreamCall):
            await call
        else:
            while await call.read() is not grpc.aio.EOF:
                pass

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(end(), 60)
    return caught.value


async def methods_of(api: Api, token: str) -> list[MethodDescriptor]:
    """Every method of every service that the server has, as its reflection tells."""
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    ask = api.channel.stream_stream(
        path,
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = [answer async for answer in ask(iter([LIST_SERVICES]), metadata=bearer(token))]
    pool = descriptor_pool.Default()
    names = [service.name for service in answers[0].list_services_response.service]
    return [method for name in names for method in pool.FindServiceByName(name).methods]


async def code_of(api: Api, method: MethodDescriptor, token: str | None) -> tuple[grpc.StatusCode, str]:
    """What comes of calling a method with an empty message; a stream that goes on is left after its first answer."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = bearer(token) if token else ()
    sent: Iterable[bytes] | bytes = iter([b""]) if method.client_streaming else b""
    kinds = {
        (False, False): api.channel.unary_unary,
        (False, True): api.channel.unary_stream,
        (True, False): api.channel.stream_unary,
        (True, True): api.channel.stream_stream,
    }
    call = kinds[method.client_streaming, method.server_streaming](path)(sent, metadata=metadata, timeout=60)
    try:
        await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        return error.code(), reason_of(error)
    call.cancel()
    return grpc.StatusCode.OK, ""


async def test_every_method_of_every_service_asks_for_the_right_that_the_table_names(
    tmp_path: Path, sandbox: Control, tokens: Tokens, admin: str
) -> None:
    without = {right: tokens.give(f"no {right}", projects=(), rights=" ".join(set(Right) - {right})) for right in Right}
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_TOKENS_FILE=str(tokens.path)) as api:
        methods = await methods_of(api, admin)

        assert {method.full_name for method in methods} == RULES.keys()
        for method in methods:
            rule = RULES[method.full_name]
            nobody, stranger = await code_of(api, method, None), await code_of(api, method, "evg_unknown")
            if rule.open:
                assert (nobody[0], stranger[0]) == (grpc.StatusCode.OK, grpc.StatusCode.OK), method.full_name
                continue
            assert nobody == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REQUIRED"), method.full_name
            assert stranger == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"), method.full_name
            for right, token in without.items():
                lacking = await code_of(api, method, token)
                denied = lacking == (grpc.StatusCode.PERMISSION_DENIED, "RIGHT_REQUIRED")
                # Included in `write`, where no token names it for the project by its id.
                included = right is Right.APPROVE
                assert denied is (right is rule.right and not included), (method.full_name, right)
            allowed, _ = await code_of(api, method, admin)
            assert allowed not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


async def test_a_caller_is_given_its_own_projects_and_no_other(
    tmp_path: Path, sandbox: Control, tokens: Tokens, admin: str
) -> None:
    few = bearer(tokens.give("few", projects=["other", "third", "none"], rights="read"))
    everything = bearer(admin)
    changes = {"EVERGREEN_TOKENS_FILE": str(tokens.path), "EVERGREEN_PROJECT_CREDITS": '{"other": 500.5}'}
    async with serving(tmp_path / "data", sandbox.url, **changes) as api:
        made = [
            (await api.video.GenerateVideo(request(project_id=name), metadata=everything)).job
            for name in ("film", "other", "other", "third")
        ]

        async def pages(metadata: tuple[tuple[str, str], ...], size: int) -> list[video_pb2.Project]:
            token, found = "", []
            while True:
                asked = video_pb2.ListProjectsRequest(page_size=size, page_token=token)
                page = await api.video.ListProjects(asked, metadata=metadata)
                assert len(page.projects) <= size
                found += page.projects
                token = page.next_page_token
                if not token:
                    return found

        listed, seen = await pages(everything, 2), await pages(few, 1)
        forged = video_pb2.ListProjectsRequest(page_token=make_token("film", "projects"))
        beyond = (await api.video.ListProjects(forged, metadata=few)).projects
        spent = await api.video.GetAccount(video_pb2.GetAccountRequest(project_id="other"), metadata=everything)

    assert [project.project_id for project in listed] == ["film", "other", "third"]
    assert [project.project_id for project in seen] == ["other", "third"]
    assert [project.project_id for project in beyond] == ["other", "third"]
    assert [sum(each.count for each in project.job_counts) for project in listed] == [1, 2, 1]
    film, other, _ = listed
    assert (other.cap_credits, film.HasField("cap_credits")) == (500.5, False)
    assert other.reserved_credits + other.spent_credits == spent.reserved_credits + spent.spent_credits > 0
    assert film.revision >= made[0].revision
    assert film.create_time.ToDatetime() <= made[0].create_time.ToDatetime() <= film.update_time.ToDatetime()


async def test_any_token_may_ask_who_it_is(tmp_path: Path, sandbox: Control, tokens: Tokens, admin: str) -> None:
    few = tokens.give("few", projects=["other", "film"], rights="admin")
    ask = video_pb2.GetCallerRequest()
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_TOKENS_FILE=str(tokens.path)) as api:
        limited = await api.video.GetCaller(ask, metadata=bearer(few))
        operator = await api.video.GetCaller(ask, metadata=bearer(admin))

    installed = version("evergreen-video")
    assert limited == video_pb2.GetCallerResponse(
        name="few", rights=["RIGHT_ADMIN"], projects=["film", "other"], tokens_required=True, version=installed
    )
    every = ["RIGHT_READ", "RIGHT_WRITE", "RIGHT_ADMIN", "RIGHT_APPROVE"]
    assert operator == video_pb2.GetCallerResponse(
        name="operator", rights=every, all_projects=True, tokens_required=True, version=installed
    )


async def test_without_a_tokens_file_everybody_is_told_that_they_may_do_everything(
    tmp_path: Path, sandbox: Control
) -> None:
    async with serving(tmp_path / "data", sandbox.url) as api:
        told = await api.video.GetCaller(video_pb2.GetCallerRequest(), metadata=bearer("evg_whatever"))

    assert (told.name, told.all_projects, told.tokens_required) == ("", True, False)
    assert list(told.rights) == [number for number in video_pb2.Right.values() if number]


async def test_whoever_may_write_approves_where_no_token_names_approving_by_the_project(
    tmp_path: Path, sandbox: Control, tokens: Tokens, admin: str
) -> None:
    writer = tokens.give("writer", projects=["film", "other"], rights="read write")
    everywhere = tokens.give("everywhere", projects=(), rights="read write")
    reader = tokens.give("reader", projects=["film", "other"], rights="read")
    approver = tokens.give("approver", projects=["film"], rights="approve")
    stranger = tokens.give("stranger", projects=["third"], rights="read write approve")
    no_film = (grpc.StatusCode.NOT_FOUND, "FILM_NOT_FOUND")
    invalid = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    lacks = (grpc.StatusCode.PERMISSION_DENIED, "RIGHT_REQUIRED")

    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_TOKENS_FILE=str(tokens.path)) as api:

        async def told(token: str, project_id: str) -> set[tuple[grpc.StatusCode, str]]:
            ids = {"project_id": project_id, "film_id": "movie"}
            calls = (
                api.film.StartFilm(film_pb2.StartFilmRequest(**ids), metadata=bearer(token)),
                api.film.ApproveFilm(film_pb2.ApproveFilmRequest(**ids), metadata=bearer(token)),
            )
            return {(error.code(), reason_of(error)) for error in [await refused(call) for call in calls]}

        async def rights(token: str) -> set[int]:
            caller = await api.video.GetCaller(video_pb2.GetCallerRequest(), metadata=bearer(token))
            return set(caller.rights)

        # Of one token that names `film`, and one that names `third`.
        assert await told(writer, "film") == {lacks}
        assert await told(everywhere, "film") == {lacks}
        assert await told(approver, "film") == {invalid}
        assert await told(writer, "other") == {invalid}
        assert await told(everywhere, "other") == {invalid}
        assert await told(everywhere, "third") == {lacks}
        assert await told(stranger, "third") == {invalid}
        assert await told(reader, "film") == await told(reader, "other") == {lacks}
        # Which projects there are, and which of them are guarded, a token for others does not learn.
        assert await told(stranger, "film") == await told(stranger, "nowhere") == {no_film}
        assert await told(approver, "other") == {no_film}
        cancel = film_pb2.CancelFilmRequest(project_id="film", film_id="movie", run=1)
        error = await refused(api.film.CancelFilm(cancel, metadata=bearer(writer)))
        assert reason_of(error) == "RUN_NOT_FOUND"
        assert await rights(writer) == {video_pb2.RIGHT_READ, video_pb2.RIGHT_WRITE}
        assert await rights(approver) == {video_pb2.RIGHT_APPROVE}
        assert await rights(reader) == {video_pb2.RIGHT_READ}


async def test_a_method_that_is_not_in_the_table_is_refused_to_every_token(tokens: Tokens, admin: str) -> None:
    file = descriptor_pb2.FileDescriptorProto(
        name="guest.proto", package="guest", syntax="proto3", dependency=["google/protobuf/empty.proto"]
    )
    empty = ".google.protobuf.Empty"
    file.service.add(name="Guest").method.add(name="Hello", input_type=empty, output_type=empty)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(empty_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    called = False

    class Guest:
        async def Hello(self, _message: object, _context: object) -> bytes:
            nonlocal called
            called = True
            return b""

    server = grpc.aio.server()
    access = Access(read_tokens([tokens.path.read_bytes()]))
    server.add_generic_rpc_handlers((service_handler(pool.FindServiceByName("guest.Guest"), Guest(), access),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        error = await refused(channel.unary_unary("/guest.Guest/Hello")(b"", metadata=bearer(admin)))
    await server.stop(None)

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "RIGHT_REQUIRED")
    assert not called


async def test_what_belongs_to_another_project_looks_like_what_does_not_exist(
    tmp_path: Path, sandbox: Control, tokens: Tokens, admin: str
) -> None:
    ours = bearer(tokens.give("film", projects=["film"]))
    theirs = bearer(tokens.give("other", projects=["other", "third"], rights="read write admin"))
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_TOKENS_FILE=str(tokens.path)) as api:
        job = (await api.video.GenerateVideo(request(), metadata=ours)).job
        mine = (await api.video.GenerateVideo(request(project_id="other"), metadata=theirs)).job
        unknown = "".join(reversed(job.job_id))

        async def same(method: object, message: object, real: str, made_up: str) -> None:
            """The error about what is another's differs from the one about what is not there by the name alone."""
            told = []
            for name in (real, made_up):
                asked = type(message).FromString(message.SerializeToString().replace(b"@" * len(name), name.encode()))
                error = await refused(method(asked, metadata=theirs))
                trailers = dict(error.trailing_metadata())
                details = trailers["grpc-status-details-bin"].replace(name.encode(), b"@")
                told.append((error.code(), error.details().replace(name, "@"), details))
            assert told[0] == told[1]
            assert told[0][0] is grpc.StatusCode.NOT_FOUND

        at = "@" * len(job.job_id)
        for _ in range(2):
            await same(api.video.GetStatus, video_pb2.GetStatusRequest(job_id=at), job.job_id, unknown)
            # From here on its owner's answer is kept.
            assert (await api.video.GetStatus(video_pb2.GetStatusRequest(job_id=job.job_id), metadata=ours)).job
        await same(api.video.CancelVideo, video_pb2.CancelVideoRequest(job_id=at), job.job_id, unknown)
        abandon = video_pb2.ResolveSubmissionRequest(job_id=at, resolution=video_pb2.SUBMISSION_RESOLUTION_ABANDON)
        await same(api.video.ResolveSubmission, abandon, job.job_id, unknown)
        await same(api.video.WatchProgress, video_pb2.WatchProgressRequest(job_ids=[at]), job.job_id, unknown)
        await api.scene.CreateScene(scene_pb2.CreateSceneRequest(**SCENE), metadata=ours)
        for method, message in (
            (api.scene.GetScene, scene_pb2.GetSceneRequest(project_id="film", scene_id="@@@@@@@")),
            (api.scene.DeleteScene, scene_pb2.DeleteSceneRequest(project_id="film", scene_id="@@@@@@@")),
            (api.scene.DownloadAsset, scene_pb2.DownloadAssetRequest(**{**CLIP, "scene_id": "@@@@@@@"})),
            (api.scene.DeleteAsset, scene_pb2.DeleteAssetRequest(**{**CLIP, "scene_id": "@@@@@@@"})),
            (api.scene.GetAssetUrl, scene_pb2.GetAssetUrlRequest(**{**CLIP, "scene_id": "@@@@@@@"})),
        ):
            await same(method, message, "scene-1", "scene-9")
        script = "INT. HOUSE - DAY\n\nA door opens.\n"
        settings = film_pb2.FilmSettings(scene_prefix="part")
        plan = film_pb2.PlanFilmRequest(
            project_id="film", film_id="movie-1", request_id="one", script=script, settings=settings
        )
        await api.film.PlanFilm(plan, metadata=ours)
        for method, message in (
            (api.film.GetFilm, film_pb2.GetFilmRequest(project_id="film", film_id="@@@@@@@")),
            (api.film.EditFilm, film_pb2.EditFilmRequest(project_id="film", film_id="@@@@@@@", plan_revision=1)),
            (api.film.DeleteFilm, film_pb2.DeleteFilmRequest(project_id="film", film_id="@@@@@@@")),
            (api.film.StartFilm, film_pb2.StartFilmRequest(project_id="film", film_id="@@@@@@@")),
            (api.film.ExportFilm, film_pb2.ExportFilmRequest(project_id="film", film_id="@@@@@@@")),
            (api.film.ApproveFilm, film_pb2.ApproveFilmRequest(project_id="film", film_id="@@@@@@@")),
            (api.film.CancelFilm, film_pb2.CancelFilmRequest(project_id="film", film_id="@@@@@@@", run=1)),
        ):
            await same(method, message, "movie-1", "movie-9")

        listed = (await api.video.ListVideos(video_pb2.ListVideosRequest(), metadata=theirs)).jobs
        assert [each.job_id for each in listed] == [mine.job_id]
        everything = (await api.video.ListVideos(video_pb2.ListVideosRequest(), metadata=bearer(admin))).jobs
        assert [each.job_id for each in everything] == [job.job_id, mine.job_id]

        upload = scene_pb2.UploadAssetRequest(info=scene_pb2.UploadInfo(**{**CLIP, "path": "images/a.txt"}))
        for call in (
            api.video.GenerateVideo(request(), metadata=theirs),
            api.video.ListVideos(video_pb2.ListVideosRequest(project_id="film"), metadata=theirs),
            api.video.WatchProgress(video_pb2.WatchProgressRequest(project_id="film"), metadata=theirs),
            api.scene.CreateScene(scene_pb2.CreateSceneRequest(**SCENE), metadata=theirs),
            api.scene.ListScenes(scene_pb2.ListScenesRequest(project_id="film"), metadata=theirs),
            api.scene.UploadAsset(iter([upload]), metadata=theirs),
            api.film.PlanFilm(plan, metadata=theirs),
            api.film.ListFilms(film_pb2.ListFilmsRequest(project_id="film"), metadata=theirs),
            api.video.GetAccount(video_pb2.GetAccountRequest(), metadata=theirs),
            api.video.GetAccount(video_pb2.GetAccountRequest(project_id="film"), metadata=theirs),
        ):
            error = await refused(call)
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "PROJECT_DENIED")
        spent = await api.video.GetAccount(video_pb2.GetAccountRequest(project_id="other"), metadata=theirs)
        assert spent.credit_balance > 0


async def test_a_replaced_tokens_file_counts_at_once_and_ends_the_streams_of_who_lost_access(
    tmp_path: Path, sandbox: Control, tokens: Tokens, admin: str
) -> None:
    leaving, reduced, staying = (tokens.give(name, projects=["film", "other"]) for name in ("a", "b", "c"))
    watch = video_pb2.WatchProgressRequest(project_id="film")
    listing = video_pb2.ListModelsRequest()
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_TOKENS_FILE=str(tokens.path)) as api:
        watches = {
            token: api.video.WatchProgress(watch, metadata=bearer(token)) for token in (leaving, reduced, staying)
        }
        for call in watches.values():
            assert (await call.read()).HasField("checkpoint")

        async with logged(TAKEN):
            joining = tokens.give("d")
        await api.video.ListModels(listing, metadata=bearer(joining))
        async with logged(TAKEN):
            tokens.take("a")
        revoked = await refused(watches[leaving])
        after = await refused(api.video.ListModels(listing, metadata=bearer(leaving)))
        async with logged(TAKEN):
            tokens.change("b", ', "other"', "")
        fewer = await refused(watches[reduced])
        again = api.video.WatchProgress(watch, metadata=bearer(reduced))
        assert (await again.read()).HasField("checkpoint")
        async with logged(REFUSED):
            tokens.write("nonsense")
        await api.video.GenerateVideo(request(), metadata=bearer(staying))
        while not (message := await watches[staying].read()).HasField("event"):
            assert message.HasField("checkpoint")
        still = (await api.video.ListModels(listing, metadata=bearer(staying))).models

    assert (revoked.code(), reason_of(revoked)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert (after.code(), reason_of(after)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert (fewer.code(), reason_of(fewer)) == (grpc.StatusCode.UNAVAILABLE, "ACCESS_CHANGED")
    assert still


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it has no token"),
        ("# nobody yet\n", "it has no token"),
        ("\n{", "line 2: is not JSON"),
        ("{\n}\n", "is not a file of tokens, which has a JSON object in each line"),
        ("[]", "line 1: must be an object with name, projects, rights, sha256"),
        ('{"name": "a", "sha256": "ab", "projects": "*", "rights": ["read"]}', "sha256 must be 64"),
        ('{"name": "a", "sha256": "%s", "projects": [], "rights": ["read"]}' % ("ab" * 32), "projects must be"),
        ('{"name": "a", "sha256": "%s", "projects": ["../x"], "rights": ["read"]}' % ("ab" * 32), "projects must be"),
        ('{"name": "a", "sha256": "%s", "projects": "*", "rights": ["all"]}' % ("ab" * 32), "rights must be a list"),
        ('{"name": "", "sha256": "%s", "projects": "*", "rights": ["read"]}' % ("ab" * 32), "name must be a text"),
    ],
)
def test_a_faulty_tokens_file_is_refused_with_the_line_named(text: str, fault: str) -> None:
    with pytest.raises(FileUnusable, match=fault.replace("*", r"\*")):
        read_tokens([text.encode()])


def test_a_token_and_a_name_may_stand_in_the_file_once(tokens: Tokens) -> None:
    tokens.give("a")
    line = tokens.path.read_text().splitlines()[-1]

    with pytest.raises(FileUnusable, match="sha256 is there already"):
        read_tokens([f"{line}\n{line.replace('film', 'other')}".encode()])
