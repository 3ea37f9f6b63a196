"""Server-sent events and lines of JSON: what they say, how they are resumed, and how they end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest

from evergreen.v1 import video_pb2
from tests.gateway.gateways import gateway_to
from tests.gateway.live.pages import WAIT_SECONDS, Told, page, seen
from tests.gateway.live.scripted import event, film_event, scripted_at

DONE = {"state": video_pb2.JOB_STATE_SUCCEEDED}
EVENTS = {"Accept": "text/event-stream"}
FILM = "/api/v1/projects/film/events"


class Stream:
    """An answer as it comes, event by event or line by line."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.status = answer.status

    async def next(self) -> Told | None:
        """The next event, with its `id` if it has one; None at the end."""
        async with asyncio.timeout(WAIT_SECONDS):
            if self.answer.content_type != "text/event-stream":
                line = await self.answer.content.readline()
                return json.loads(line) if line else None
            fields: dict[str, str] = {}
            while line := (await self.answer.content.readline()).decode():
                if line == "\n":
                    break
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
            if not fields:
                return None
            if "data" not in fields:
                return dict(fields)
            told = json.loads(fields["data"])
            assert fields["event"] == told.get("event", told["type"])
            assert fields.get("id") == told.get("revision")
            return told

    async def until(self, kind: str, **members: object) -> list[Told]:
        """The messages up to the first of a type and with these members, that one as the last."""
        found: list[Told] = []
        while (told := await self.next()) is not None:
            found.append(told)
            if told.get("type") == kind and members.items() <= told.items():
                return found
        raise AssertionError(f"the stream ended: {found}")


@asynccontextmanager
async def stream(url: str, path: str, **headers: str) -> AsyncIterator[Stream]:
    async with aiohttp.ClientSession() as session, session.get(url + path, headers={**EVENTS, **headers}) as answer:
        yield Stream(answer)


async def test_a_stream_says_what_a_socket_does(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(event(1, "a"))
        async with (
            page(url) as one,
            stream(url, FILM) as events,
            stream(url, FILM, Accept="application/x-ndjson") as lines,
        ):
            told = await one.follow(projectId="film")
            opened = [await each.until("checkpoint") for each in (events, lines)]
            await upstream.tell(event(2, "a"), event(3, "b"))
            told += await one.until("event", revision="3")
            followed = [await each.until("event", revision="3") for each in (events, lines)]

    assert events.answer.headers["X-Accel-Buffering"] == "no"
    assert (events.answer.content_type, lines.answer.content_type) == ("text/event-stream", "application/x-ndjson")
    assert opened[0][0] == {"retry": "1000"}
    assert [*opened[0][1:], *followed[0]] == [*opened[1], *followed[1]] == told
    assert len(upstream.asked) == 1


async def test_the_last_event_id_resumes_and_wins_over_after(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(*(event(number, "a") for number in range(1, 6)))
        async with (
            stream(url, FILM + "?after=2") as first,
            stream(url, FILM + "?after=2", **{"Last-Event-ID": "4"}) as again,
        ):
            told = [await each.until("checkpoint") for each in (first, again)]

    assert [[number for _, number in seen(each[1:])] for each in told] == [["3", "4", "5"], ["5"]]


async def test_a_stream_of_jobs_ends_with_them_and_is_over_for_who_comes_back(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(event(1, "a"), event(2, "b"), event(3, "c"))
        both = FILM + "?job=a&job=b"
        async with stream(url, both) as some, stream(url, "/api/v1/videos/a/events") as one:
            await one.until("checkpoint")
            await some.until("checkpoint")
            await upstream.tell(event(4, "a", **DONE), event(5, "c"), event(6, "b", **DONE))
            ended = [await one.until("end"), await some.until("end")]
            assert [await each.next() for each in (one, some)] == [None, None]
        for where, last, status in ((both, "6", 204), (both, "5", 200), ("/api/v1/videos/a/events", "4", 204)):
            async with stream(url, where, **{"Last-Event-ID": last}) as again:
                assert again.status == status
        async with stream(url, "/api/v1/videos/a/events?after=4") as late:
            told = await late.until("end")

    assert [seen(each) for each in ended] == [
        [("stage_changed", "4")],
        [("stage_changed", "4"), ("stage_changed", "6")],
    ]
    assert [each[-1]["jobIds"] for each in ended] == [["a"], ["a", "b"]]
    assert seen(told[1:]) == [("snapshot", "4")]


async def test_a_stream_of_a_film_ends_with_its_run_and_is_over_for_who_comes_back(path: str) -> None:
    on, over = video_pb2.FILM_STATE_RUNNING, video_pb2.FILM_STATE_SUCCEEDED
    film = "/api/v1/projects/film/films/movie/events"
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(event(1, "a"), film_event(2, "movie", on), film_event(3, "other", on))
        async with stream(url, film) as one, stream(url, FILM + "?film=movie&film=other&job=a") as some:
            await one.until("checkpoint")
            await some.until("checkpoint")
            await upstream.tell(film_event(4, "movie", over), event(5, "a", **DONE), film_event(6, "other", over))
            told = await one.until("end"), await some.until("end")
            assert [await each.next() for each in (one, some)] == [None, None]
        async with stream(url, film, **{"Last-Event-ID": "4"}) as again:
            assert again.status == 204
        async with stream(url, film, **{"Last-Event-ID": "3"}) as late:
            assert seen((await late.until("end"))[1:]) == [("film_started", "4")]

    assert [seen(each) for each in told] == [
        [("film_started", "4")],
        [("film_started", "4"), ("stage_changed", "5"), ("film_started", "6")],
    ]
    assert (told[0][-1]["filmIds"], told[0][-1]["jobIds"]) == (["movie"], [])
    assert (told[1][-1]["filmIds"], told[1][-1]["jobIds"]) == (["movie", "other"], ["a"])


async def test_a_cursor_of_no_use_is_a_gap(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(event(1, "a"), event(2, "b", **DONE))
        async with stream(url, FILM, **{"Last-Event-ID": "77"}) as events:
            told = (await events.until("checkpoint"))[1:]

    assert (told[0]["type"], told[0]["reason"]) == ("gap", "CURSOR_AHEAD")
    assert seen(told) == [("snapshot", "1"), ("snapshot", "2")]


@pytest.mark.parametrize(
    ("where", "status", "field"),
    [
        ("/api/v1/videos/none/events", 404, None),
        (FILM + "?after=-1", 400, "after"),
        (FILM + "?after=x", 400, "after"),
        (FILM + "?after=1&after=2", 400, "after"),
        (FILM + "?afterRevision=1", 400, "afterRevision"),
        (FILM + "?includeFilms=yes", 400, "includeFilms"),
        (FILM + "?kind=VIDEO", 400, "kinds"),
        (FILM + "?" + "&".join(f"job={number}" for number in range(1001)), 400, "job"),
        (FILM + "?" + "&".join(f"film={number}" for number in range(101)), 400, "film"),
        (FILM + "?job=film/movie", 400, "job"),
    ],
)
async def test_what_is_wrong_is_said_before_the_first_byte(
    path: str, where: str, status: int, field: str | None
) -> None:
    async with scripted_at(path), gateway_to(path) as url, stream(url, where) as refused:
        problem = json.loads(await refused.answer.read())

    assert (refused.status, problem["status"]) == (status, status)
    assert refused.answer.content_type == "application/problem+json"
    assert [each["field"] for each in problem.get("errors", [])] == ([field] if field else [])


async def test_an_event_source_is_kept_waiting_where_others_are_refused(path: str) -> None:
    """It would give up for good at any status but 200."""
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        for code, reason, plain in (
            (grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED", 403),
            (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", 401),
        ):
            await upstream.refuse(code, reason)
            for headers in ({}, {"Last-Event-ID": "1"}):
                async with stream(url, FILM, **headers) as refused:
                    assert refused.status == plain
    async with (
        gateway_to(path) as url,
        stream(url, "/api/v1/videos/a/events") as refused,
        stream(url, "/api/v1/videos/a/events", **{"Last-Event-ID": "1"}) as again,
    ):
        told = await again.next(), await again.next()

    assert (refused.status, again.status) == (503, 200)
    assert told == ({"retry": "5000"}, None)


async def test_a_stop_ends_sockets_and_streams_with_their_checkpoints(path: str) -> None:
    stop, opened = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def serving() -> None:
        async with gateway_to(path, grace_seconds=20) as url:
            opened.set_result(url)
            await stop.wait()

    async with scripted_at(path) as upstream, asyncio.TaskGroup() as tasks:
        gateway = tasks.create_task(serving())
        url = await opened
        await upstream.tell(event(1, "a"))
        async with page(url) as two, page(url) as none, stream(url, FILM) as events:
            await two.follow(projectId="film")
            await two.follow(projectId="other")
            await events.until("checkpoint")
            # The project has changed meanwhile, and nobody has said so yet.
            await upstream.tell(event(2, "a"))
            await two.until("event", revision="2")
            await events.until("event", revision="2")
            stop.set()
            last = await two.until("checkpoint", projectId="film")
            end, quiet = await two.until("closed"), await none.next()
            told = await events.next(), await events.next()
        await gateway

    assert (last[-1]["revision"], end[-1]["code"], quiet["code"]) == ("2", 1001, 1001)
    assert {each["projectId"] for each in [*last, *end] if each["type"] == "checkpoint"} == {"film", "other"}
    assert told == ({"type": "checkpoint", "projectId": "film", "revision": "2"}, None)
