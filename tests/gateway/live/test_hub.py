"""The hub: one watch of the server's for all, joined by state, by cursor, or by a watch of one's own."""

import grpc

from evergreen.v1 import video_pb2
from tests.gateway.gateways import gateway_to
from tests.gateway.live.pages import page, seen
from tests.gateway.live.scripted import PROGRESS, event, film_event, scripted_at

DONE = {"state": video_pb2.JOB_STATE_SUCCEEDED}


async def test_one_watch_serves_all_who_follow_a_project_by_the_same_token(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(event(1, "a"), event(2, "b"), event(3, "b", **DONE))
        async with page(url) as first, page(url) as second, page(url, Authorization="Bearer other") as other:
            opened = [await each.follow(projectId="film") for each in (first, second, other)]
            await upstream.tell(event(4, "a"), event(5, "c"))
            told = [await each.until("event", revision="5") for each in (first, second, other)]

    assert [seen(each) for each in opened] == [[("snapshot", "1")]] * 3
    assert [each[-1]["revision"] for each in opened] == ["3"] * 3
    assert [seen(each) for each in told] == [[("stage_changed", "4"), ("stage_changed", "5")]] * 3
    assert len(upstream.asked) == 2
    assert upstream.asked[0].include_films
    assert not upstream.asked[0].HasField("after_revision")


async def test_a_cursor_joins_within_the_window_and_before_it(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(*(event(number, "a") for number in range(1, 11)))
        async with page(url) as first, page(url) as near, page(url) as far:
            await first.follow(projectId="film")
            await upstream.tell(*(event(number, "a") for number in range(11, 21)))
            await first.until("event", revision="20")
            within = await near.follow(projectId="film", afterRevision="15")
            assert len(upstream.asked) == 1
            before = await far.follow(projectId="film", afterRevision="5")
            await upstream.tell(event(21, "a"))
            after = [await each.until("event", revision="21") for each in (near, far)]
            await upstream.until(watches=1)

    assert [number for _, number in seen(within)] == [str(number) for number in range(16, 21)]
    assert [number for _, number in seen(before)] == [str(number) for number in range(6, 21)]
    assert [each["revision"] for each in (within[-1], before[-1])] == ["20", "20"]
    assert [seen(each) for each in after] == [[("stage_changed", "21")]] * 2
    assert [request.after_revision for request in upstream.asked] == [0, 5]


async def test_jobs_are_told_apart_and_end(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(event(1, "a"), event(2, "b"))
        async with page(url) as some:
            opened = await some.follow(projectId="film", jobIds=["a"])
            await upstream.tell(event(3, "b"), event(4, "a"), event(5, "b"), event(6, "a", **DONE), event(7, "a"))
            ended = await some.until("end", jobIds=["a"])
            again = await some.follow(projectId="film", jobIds=["b"])

    assert seen(opened) == [("snapshot", "1")]
    assert seen(ended) == [("stage_changed", "4"), ("stage_changed", "6")]
    assert seen(again) == [("snapshot", "5")]
    assert len(upstream.asked) == 1


async def test_films_are_told_apart_from_jobs_and_end_with_their_last_run(path: str) -> None:
    on, over = video_pb2.FILM_STATE_RUNNING, video_pb2.FILM_STATE_SUCCEEDED
    told = event(1, "a"), film_event(2, "movie", on), film_event(3, "other", on), event(4, "b")
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(*told)
        async with page(url) as one, page(url) as both:
            opened = await one.follow(projectId="film", filmIds=["movie"])
            mixed = await both.follow(projectId="film", jobIds=["b"], filmIds=["other"])
            await upstream.tell(film_event(5, "other", over), event(6, "a"), film_event(7, "movie", over))
            ended = await one.until("end", filmIds=["movie"], jobIds=[], projectId="film")
            await upstream.tell(event(8, "b", **DONE))
            seen_both = await both.until("end", jobIds=["b"])
        assert len(upstream.asked) == 1
        async with page(url) as late, page(url) as reel:
            # Runs that ended and were followed by others, within the window and before it.
            await upstream.tell(film_event(9, "movie", on), film_event(10, "movie", over), film_event(11, "movie", on))
            within = await late.follow(projectId="film", filmIds=["movie"], afterRevision="6")
            before = await reel.follow(projectId="film", filmIds=["movie"], afterRevision="0")
            await upstream.tell(film_event(12, "movie", over))
            last = [await each.until("end", filmIds=["movie"]) for each in (late, reel)]
            await late.say("subscribe", projectId="film", filmIds=["movie"], afterRevision="12")
            again = await late.until("end", filmIds=["movie"])

    assert seen(opened) == [("film_snapshot", "2")]
    assert seen(mixed) == [("film_snapshot", "3"), ("snapshot", "4")]
    assert seen(ended) == [("film_started", "7")]
    assert next(each for each in seen_both if each["type"] == "end")["filmIds"] == ["other"]
    assert seen(seen_both) == [("film_started", "5"), ("stage_changed", "8")]
    assert [number for _, number in seen(within)] == ["7", "9", "10", "11"]
    assert [number for _, number in seen(before)] == ["2", "7", "9", "10", "11"]
    assert [seen(each) for each in last] == [[("film_started", "12")]] * 2
    assert seen(again) == [("film_snapshot", "12")]


async def test_a_film_that_is_followed_beside_its_project_is_told_of_and_can_be_left(path: str) -> None:
    on = video_pb2.FILM_STATE_RUNNING
    async with scripted_at(path) as upstream, gateway_to(path) as url, page(url) as one:
        await upstream.tell(event(1, "a"), film_event(2, "movie", on), film_event(3, "other", on))
        await one.follow(projectId="film")
        named = await one.follow(projectId="film", filmIds=["movie"])
        await upstream.tell(film_event(4, "movie", on), film_event(5, "other", on), event(6, "a"))
        await upstream.tell(film_event(7, "movie", on))
        told = await one.until("event", revision="7")
        await one.say("unsubscribe", projectId="film", filmIds=["movie"])
        await one.say("ping")
        await one.until("pong")
        await upstream.tell(film_event(8, "movie", on), event(9, "a"))
        left = await one.until("event", revision="9")

    assert seen(named) == [("film_snapshot", "2")]
    assert seen(told) == [("film_started", "4"), ("stage_changed", "6"), ("film_started", "7")]
    assert seen(left) == [("stage_changed", "9")]


async def test_a_project_and_its_jobs_on_one_socket_are_told_once(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(event(1, "a"), event(2, "b"), event(3, "b", **DONE))
        async with page(url) as both:
            await both.follow(projectId="film")
            joined = await both.follow(projectId="film", jobIds=["a"])
            await upstream.tell(event(4, "a"), event(5, "b"))
            told = await both.until("event", revision="5")
            await both.say("unsubscribe", projectId="film")
            await both.say("ping")
            await both.until("pong")
            await upstream.tell(event(6, "b"), event(7, "a"))
            left = await both.until("event", revision="7")
            await both.say("unsubscribe", jobIds=["a"])
            await both.say("ping")
            await both.until("pong")
            await upstream.tell(event(8, "a"))
            await both.say("subscribe", projectId="film", afterRevision="7")
            again = await both.until("event", revision="8")

    assert seen(joined) == [("snapshot", "1")]
    assert seen(told) == [("stage_changed", "4"), ("stage_changed", "5")]
    assert seen(left) == [("stage_changed", "7")]
    assert seen(again) == [("stage_changed", "8")]


async def test_a_percentage_is_left_out_where_a_later_message_of_its_job_is_at_hand(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url, page(url) as first, page(url) as late:
        await first.follow(projectId="film")
        await upstream.tell(event(1, "a"), event(2, "a", PROGRESS), event(3, "b", PROGRESS), event(4, "a", PROGRESS))
        await first.until("event", revision="4")
        told = await late.follow(projectId="film", afterRevision="0")

    assert seen(told) == [("stage_changed", "1"), ("progress", "3"), ("progress", "4")]


async def test_a_watch_that_breaks_off_is_resumed_for_everybody(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url, page(url) as one:
        await one.follow(projectId="film")
        await upstream.tell(event(1, "a"))
        await one.until("event", revision="1")
        for revision in (2, 3, 4):
            await upstream.break_off()
            await upstream.until(watches=0)
            await upstream.tell(event(revision, "a"))
            told = await one.until("event", revision=str(revision))
            assert seen(told) == [("stage_changed", str(revision))]

    assert [request.after_revision for request in upstream.asked] == [0, 1, 2, 3]


async def test_a_token_that_is_revoked_goes_dark_on_all_its_sockets(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url, page(url) as first, page(url) as second:
        for each in (first, second):
            await each.follow(projectId="film")
        await upstream.refuse(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
        ends = [(await each.until("closed"))[-1]["code"] for each in (first, second)]

    assert ends == [4401, 4401]


async def test_what_a_token_may_no_longer_see_ends_with_4403_and_never_could_with_an_error(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url, page(url) as followed, page(url) as refused:
        await followed.follow(projectId="film")
        await upstream.refuse(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
        end = (await followed.until("closed"))[-1]
        await refused.say("subscribe", projectId="other")
        [error] = await refused.until("error")
        await refused.say("ping")
        await refused.until("pong")

    assert end["code"] == 4403
    assert error["about"] == {"type": "subscribe", "projectId": "other"}
    assert (error["problem"]["status"], error["problem"]["reason"]) == (403, "ACCESS_DENIED")


async def test_a_cursor_of_no_use_is_told_as_a_gap_and_the_state_follows(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path) as url:
        await upstream.tell(event(1, "a"), event(2, "b"))
        async with page(url) as ahead:
            told = await ahead.follow(projectId="film", afterRevision="1000")
            # As after a backup: the server has forgotten what the topic knows.
            await upstream.tell(event(3, "a"))
            await ahead.until("event", revision="3")
            upstream.events = [event(1, "a"), event(2, "b", **DONE)]
            await upstream.break_off()
            restored = await ahead.until("checkpoint", revision="2")
            await upstream.tell(event(3, "a"))
            further = await ahead.until("event", revision="3")

    # The state of ended jobs too: nobody may have heard of their end.
    for each in (told, restored):
        assert each[0] == {"type": "gap", "projectId": "film", "reason": "CURSOR_AHEAD", "metadata": {}}
        assert seen(each) == [("snapshot", "1"), ("snapshot", "2")]
    assert seen(further) == [("stage_changed", "3")]


async def test_the_last_to_leave_closes_the_watch_a_while_later(path: str) -> None:
    async with scripted_at(path) as upstream, gateway_to(path, linger_seconds=0.5) as url:
        async with page(url) as one:
            await one.follow(projectId="film")
        async with page(url) as another:
            await another.follow(projectId="film")
            assert (upstream.open, len(upstream.asked)) == (1, 1)
        await upstream.until(watches=0)


async def test_a_follower_far_behind_catches_up_by_a_watch_of_its_own(path: str) -> None:
    """Its socket is not read while the window, by its bytes, moves on further than the system's buffers hold."""
    number = 600
    async with scripted_at(path) as upstream, gateway_to(path) as url, page(url) as slow, page(url) as quick:
        await slow.follow(projectId="film")
        await quick.follow(projectId="film")
        for revision in range(1, number + 1):
            await upstream.tell(event(revision, "a", labels={"x": "y" * 60_000}))
        assert len(seen(await quick.until("event", revision=str(number)))) == number
        told = await slow.until("event", revision=str(number))
        await upstream.until(watches=1)

    assert [int(revision) for _, revision in seen(told)] == list(range(1, number + 1))
    assert len(upstream.asked) > 1


async def test_a_server_that_is_away_ends_sockets_so_that_they_come_back(path: str) -> None:
    async with gateway_to(path) as url:
        async with scripted_at(path), page(url) as one:
            await one.follow(projectId="film")
        async with page(url, welcome=False) as other:
            away = await other.next()
    assert away == {"type": "closed", "code": 1011}


async def test_a_page_that_follows_nothing_hears_that_the_server_is_there(path: str) -> None:
    async with (
        scripted_at(path),
        gateway_to(path, heartbeat_seconds=0.1) as url,
        page(url) as idle,
        page(url) as busy,
    ):
        await busy.follow(projectId="film")
        for _ in range(2):
            assert await idle.next() == {"type": "pong"}
        await busy.say("unsubscribe", projectId="film")
        assert await busy.next() == {"type": "pong"}
