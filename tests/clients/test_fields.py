"""What a verb may be given by keyword: what it does not know is refused, and nothing is sent."""

from collections.abc import Awaitable, Callable, Mapping

import pytest

from evergreen import WireClient
from evergreen.v1.video_pb2 import HdrSpec
from tests.clients.scripted import ScriptedService

CLIP = {"project_id": "p", "scene_id": "s", "model": "gen4.5"}
VERBS: Mapping[str, Callable[..., Awaitable[object]]] = {
    "generate": WireClient.generate,
    "quote": WireClient.quote,
    "generate_image": WireClient.generate_image,
    "generate_speech": WireClient.generate_speech,
    "generate_sound": WireClient.generate_sound,
    "generate_spec": lambda client, **fields: client.generate_spec(HdrSpec(), **fields),
    "quote_spec": lambda client, **fields: client.quote_spec(HdrSpec(), **fields),
}


async def refused(call: Callable[[], object]) -> str:
    async def answered() -> None:
        result = call()
        if isinstance(result, Awaitable):
            await result

    with pytest.raises(TypeError) as caught:
        await answered()
    return str(caught.value)


@pytest.mark.parametrize("verb", VERBS)
async def test_every_unknown_field_is_named_with_the_nearest_known_one(
    service: ScriptedService, client: WireClient, verb: str
) -> None:
    text = await refused(lambda: VERBS[verb](client, **CLIP, max_credit=1, requestId="order-42", zzz=1, finishBy=None))

    assert "there is no 'max_credit' (did you mean 'max_credits'?)" in text
    assert "there is no 'requestId' (did you mean 'request_id'?)" in text
    assert "there is no 'zzz';" in text
    assert "there is no 'finishBy' (did you mean 'finish_by'?)" in text
    assert not service.requests


@pytest.mark.parametrize(
    ("verb", "missing"),
    [
        ("generate", ("model", "project_id", "scene_id")),
        ("generate_image", ("model", "project_id", "prompt_text", "scene_id")),
        ("generate_speech", ("model", "project_id", "scene_id", "text")),
        ("generate_sound", ("model", "project_id", "prompt_text", "scene_id")),
        ("generate_spec", ("project_id", "scene_id")),
    ],
)
async def test_every_missing_field_is_named(client: WireClient, verb: str, missing: tuple[str, ...]) -> None:
    assert await refused(lambda: VERBS[verb](client)) == "; ".join(f"{name!r} is missing" for name in missing)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"media": "picture.jpg"}, "'media' must be a list, not str: write ['picture.jpg']"),
        ({"labels": {"take": 1}}, "'labels' must hold texts alone, and 'take' is 1"),
        ({"labels": {1: "take"}}, "'labels' must hold texts alone, and 1 is 'take'"),
        ({"labels": "take"}, "'labels' must be a mapping of texts, not str"),
        ({"labels": ["take"]}, "'labels' must be a mapping of texts, not list"),
        ({"options": "audio"}, "'options' must be a mapping, not str"),
        ({"prompt_text": b"up"}, "'prompt_text' must be text, not bytes"),
        ({"duration_seconds": "5"}, "'duration_seconds' must be a number, not str"),
        ({"max_credits": True}, "'max_credits' must be a number, not bool"),
        ({"finish_by": "2027-01-01"}, "'finish_by' must be a datetime, not str"),
    ],
)
async def test_what_has_the_wrong_shape_is_said_in_one_sentence(
    service: ScriptedService, client: WireClient, fields: dict[str, object], fault: str
) -> None:
    assert await refused(lambda: client.generate(**CLIP, **fields)) == fault
    assert not service.requests


async def test_a_string_is_no_list_of_ids_or_models(service: ScriptedService, client: WireClient) -> None:
    assert "'job_ids' must be a list" in await refused(lambda: client.watch(job_ids="01a2"))
    assert "'film_ids' must be a list" in await refused(lambda: client.watch(film_ids="harbour"))
    assert "'models' must be a list" in await refused(lambda: client.list(models="gen4.5"))
    assert "did you mean 'newest_first'?" in await refused(lambda: client.list(newestFirst=True))
    assert not service.watches
    assert not service.requests


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda client: client.status(5), "'job_id' must be text, not int"),
        (lambda client: client.wait(b"a"), "'job_id' must be text, not bytes"),
        (lambda client: client.cancel(job_ids="a"), "there is no 'job_ids' (did you mean 'job_id'?)"),
        (lambda client: client.watch(job_ids=[None]), "'job_ids' must hold texts alone, not NoneType"),
        (lambda client: client.watch(job_ids=b"ab"), "'job_ids' must hold texts alone, not int"),
        (lambda client: client.watch(job_ids=5), "'job_ids' must be a list, not int"),
        (lambda client: client.watch(project="p"), "there is no 'project' (did you mean 'project_id'?)"),
        (lambda client: client.watch(project_id="p", after_revision="7"), "'after_revision' must be a number, not str"),
        (lambda client: client.list(project_id=7), "'project_id' must be text, not int"),
        (lambda client: client.list(models=[1]), "'models' must hold texts alone, not int"),
        (lambda client: client.models(kinds="video"), "'kinds' must be a list, not str: write ['video']"),
        (lambda client: client.scenes.show("p", 5), "'scene_id' must be text, not int"),
        (lambda client: client.scenes.show("p", scene="s"), "there is no 'scene' (did you mean 'scene_id'?)"),
        (lambda client: client.scenes.upload("p", "s", 5, b""), "'path' must be text, not int"),
        (lambda client: client.films.get("p", 5), "'film_id' must be text, not int"),
        (
            lambda client: client.films.start("p", "f", plan_revision="1", max_credits=1),
            "'plan_revision' must be a number",
        ),
        (
            lambda client: client.films.start("p", "f", max_credit=1),
            "there is no 'max_credit' (did you mean 'max_credits'?)",
        ),
    ],
)
async def test_every_verb_refuses_what_is_no_id_and_no_field(
    service: ScriptedService, client: WireClient, call: Callable[[WireClient], object], fault: str
) -> None:
    assert (await refused(lambda: call(client))).startswith(fault)
    assert not service.requests
    assert not service.watches


async def test_a_word_that_is_no_state_is_refused_with_those_that_are(client: WireClient) -> None:
    with pytest.raises(ValueError, match="there is no kind 'film'; there are video, image, speech, sound"):
        client.watch(project_id="p", kinds=["film"])
    with pytest.raises(ValueError, match="there is no state 'done'; there are queued"):
        client.list(states=["done"])
    with pytest.raises(ValueError, match="there is no resolution 'retry'; there are resubmit, abandon, attach"):
        await client.resolve("job-1", "retry")
