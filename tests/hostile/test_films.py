"""Scripts that are made to break the service, and a project that floods it with them, beside an honest one."""

import asyncio
import random
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from evergreen.v1 import film_pb2, video_pb2
from evergreen_server.rpc.streams import MOST_PLANS
from tests.hostile.test_scripts import ATOMS, BEGINNINGS, filled
from tests.rpc.films import SCRIPTS, films_of, plan_request
from tests.rpc.refusals import refusal
from tests.serving import Api, open_sandbox, reason_of, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGEST = 512 * 1024
SHARE = MOST_PLANS // 2
OK = (grpc.StatusCode.OK, "")
REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
FULL = (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    data = tmp_path_factory.mktemp("films")
    async with open_sandbox() as sandbox, serving(data, sandbox.url) as opened:
        yield opened


def hostile_scripts() -> list[str]:
    """Two hundred: full of one mark each, and samples with pieces cut out and put elsewhere."""
    scripts = [filled(atom, 3_000, columns=60, apart=bool(number % 2)) for number, atom in enumerate(ATOMS)]
    scripts = [BEGINNINGS[number % len(BEGINNINGS)] + script for number, script in enumerate(scripts)]
    samples = [path.read_text(encoding="utf-8") for path in sorted(SCRIPTS.iterdir())]
    source = random.Random(1)
    while len(scripts) < 200:
        text, other = source.choice(samples), source.choice(samples)
        begin, end = sorted(source.randrange(len(text)) for _ in range(2))
        cut = source.randrange(len(other))
        scripts.append(text[:begin] + other[cut : cut + 400] + text[end:])
    return scripts


async def answer_of(api: Api, request: film_pb2.PlanFilmRequest) -> tuple[grpc.StatusCode, str]:
    try:
        await api.film.PlanFilm(request)
    except grpc.aio.AioRpcError as error:
        return error.code(), reason_of(error)
    return OK


async def test_a_hostile_script_is_planned_or_refused_by_line(api: Api) -> None:
    answers = set()
    for number, script in enumerate(hostile_scripts()):
        request = plan_request(film_id=f"film-{number}", script=script, validate_only=True)
        answers.add(await answer_of(api, request))

    assert answers == {OK, REFUSED}
    assert await films_of(api, "film") == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"script": "x" * (LARGEST + 1)}, "script"),
        ({"script": "a\0b"}, "script"),
        ({"script": ""}, "script"),
        ({"cast": [film_pb2.CastMember(name="A")] * 51}, "cast"),
        ({"cast": [film_pb2.CastMember(name="A"), film_pb2.CastMember(name="a")]}, "cast[1].name"),
        ({"cast": [film_pb2.CastMember(name="A", assets=["images/a.png"] * 4)]}, "cast[0].assets"),
        ({"cast": [film_pb2.CastMember(name="\u202eA")]}, "cast[0].name"),
        ({"settings": film_pb2.FilmSettings(style="x" * 100_000)}, "settings.style"),
        ({"settings": film_pb2.FilmSettings(profiles=[{"name": f"p{number}"} for number in range(1000)])}, "settings."),
        (
            {"settings": film_pb2.FilmSettings(transition=film_pb2.Transition(kind=2, seconds=float("nan")))},
            "settings.transition",
        ),
        (
            {"settings": film_pb2.FilmSettings(profiles=[{"name": "wide", "loudness_lufs": float("-inf")}])},
            "settings.profiles[0].loudness_lufs",
        ),
    ],
)
async def test_what_is_too_much_is_refused_by_its_field(api: Api, fields: dict[str, object], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.film.PlanFilm(plan_request(validate_only=True, **fields))

    assert (refused.value.code(), reason_of(refused.value)) == REFUSED
    assert field in str(refused.value.details())


def long_script(number: int) -> str:
    """A valid script of 300 scenes and 1,800 lines: more than half a second of the processor for each call."""
    lines = "".join(f"ANNA\nWord {word} of {number}.\n\n" for word in range(6))
    return "".join(f"INT. ROOM {scene} - DAY\n\nA corridor in the rain.\n\n{lines}" for scene in range(300))


async def test_a_project_that_floods_the_service_with_scripts_leaves_the_honest_one_its_turn(api: Api) -> None:
    """The greedy one has as many calls open as it may, and repeats each."""
    ended, begun, stop = 0, asyncio.Event(), asyncio.Event()

    async def flood(number: int) -> None:
        nonlocal ended
        script = long_script(number)
        while not stop.is_set():
            plan = plan_request(project_id="greedy", film_id=f"film-{number}", script=script, validate_only=True)
            assert await answer_of(api, plan) == OK
            ended += 1
            begun.set()

    async with asyncio.TaskGroup() as group:
        for number in range(SHARE):
            group.create_task(flood(number))
        await begun.wait()
        before = ended
        honest = await api.film.PlanFilm(plan_request(project_id="honest"))
        read = await api.film.GetFilm(film_pb2.GetFilmRequest(project_id="honest", film_id="movie"))
        meanwhile = ended - before
        stop.set()

    assert read.film == honest.film
    # It has a thread of its own for each of its three turns. In one line with all others it would come behind 15 calls
    # each time.
    assert meanwhile <= 4


async def test_calls_beyond_a_callers_share_are_refused_and_others_are_not(api: Api) -> None:
    flood = [
        plan_request(project_id="greedy", film_id=f"film-{number}", script=long_script(number), validate_only=True)
        for number in range(2 * SHARE)
    ]
    calls = [asyncio.create_task(answer_of(api, plan)) for plan in flood]
    first, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)

    for method, message in (
        (api.film.GetFilm, film_pb2.GetFilmRequest(project_id="greedy", film_id="none")),
        (api.film.EditFilm, film_pb2.EditFilmRequest(project_id="greedy", film_id="none", plan_revision=1)),
        (api.film.DeleteFilm, film_pb2.DeleteFilmRequest(project_id="greedy", film_id="none")),
    ):
        refused = await refusal(method(message))
        assert (refused.code(), reason_of(refused)) == FULL
    honest = await answer_of(api, plan_request(project_id="modest", validate_only=True))
    meanwhile = sum(call.result() == OK for call in calls if call.done())
    answers = await asyncio.gather(*calls)

    assert {call.result() for call in first} == {FULL}
    assert honest == OK
    assert meanwhile <= 4
    assert set(answers) == {OK, FULL}
    assert answers.count(OK) >= SHARE


def hostile_exports() -> list[dict[str, object]]:
    """What is no export, each for one reason."""
    names = ("", "../wide", "wide/../tall", "wi\tde", ".", "\u202ewide", "x" * 129, "wide ", "con/../..")
    forms: list[dict[str, object]] = [
        *({"name": name, "width": 64, "height": 64} for name in names),
        *({"name": "own", "width": width, "height": 64} for width in (-2, 1, 63, 65, 4098, 2**31 - 1)),
        *({"name": "wide", "fps": fps} for fps in (-1, 61, 2**31 - 1)),
        *({"name": "wide", "crf": crf} for crf in (-1, 52)),
        *({"name": "wide", "loudness_lufs": lufs} for lufs in (float("nan"), float("inf"), -41.0, 0.001)),
        *({"name": "wide", member: 99} for member in ("fit", "captions")),
    ]
    return [
        *({"profiles": [film_pb2.ExportProfile(**form)]} for form in forms),
        {"profiles": [film_pb2.ExportProfile(name="wide")] * 1000},
        *({"missing": missing} for missing in (1, 99, -1)),
        *({"plan_revision": revision} for revision in (0, -1)),
        *({"request_id": request_id} for request_id in ("", "a b", "x" * 129, "a\n")),
        *({"film_id": film_id} for film_id in ("..", "a/b", "", "x" * 200)),
    ]


async def test_a_hostile_export_is_refused_by_field_and_begins_nothing(api: Api) -> None:
    await api.film.PlanFilm(plan_request(project_id="exported"))
    usual = {"project_id": "exported", "film_id": "movie", "request_id": "one", "plan_revision": 1}
    for fields in hostile_exports():
        error = await refusal(api.film.ExportFilm(film_pb2.ExportFilmRequest(**{**usual, **fields})))
        assert (error.code(), reason_of(error)) == REFUSED, fields
    far = film_pb2.ExportFilmRequest(**{**usual, "plan_revision": 2**31 - 1})
    assert reason_of(await refusal(api.film.ExportFilm(far))) == "PLAN_NOT_FOUND"
    assert [(film.state, film.run) for film in await films_of(api, "exported")] == [(video_pb2.FILM_STATE_PLANNED, 0)]
