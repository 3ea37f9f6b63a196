import asyncio
import time
from contextlib import aclosing

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from evergreen import (
    CursorAhead,
    CursorCompacted,
    InternalError,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobNotFound,
    JobState,
    NeedsAttention,
    Reconnect,
    Unavailable,
    WatchInterrupted,
    WireClient,
)
from evergreen.v1.video_pb2 import JobError
from tests.clients.scripted import (
    DRAINING,
    UNAVAILABLE,
    Fault,
    Hold,
    ScriptedService,
    checkpoint,
    event,
)

COMPACTED = Fault(code=grpc.StatusCode.OUT_OF_RANGE, reason="CURSOR_COMPACTED")


async def revisions(client: WireClient, **chosen: object) -> list[int]:
    async with asyncio.timeout(60), aclosing(client.watch(**chosen)) as messages:
        return [message.revision async for message in messages]


async def test_a_watch_of_jobs_ends_after_the_final_state_of_all_of_them(
    service: ScriptedService, client: WireClient
) -> None:
    service.streams = [
        [event(1, "a"), event(2, "b"), checkpoint(2), event(3, "b", "SUCCEEDED"), event(4, "a", "FAILED"), Hold()]
    ]

    assert await revisions(client, job_ids=["a", "b"]) == [1, 2, 2, 3, 4]
    await asyncio.wait_for(service.left.wait(), 60)


# The last three are what gRPC says of a stream that was reset.
CANCELLED, INTERNAL, UNKNOWN = (
    Fault(code=code) for code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
)


@pytest.mark.parametrize(
    "fault", [UNAVAILABLE, DRAINING, CANCELLED, INTERNAL, UNKNOWN], ids=lambda fault: fault.reason or fault.code.name
)
async def test_a_broken_watch_resumes_from_its_cursor_and_tells_nothing_twice(
    service: ScriptedService, client: WireClient, fault: Fault
) -> None:
    service.streams = [
        [event(5), event(6), fault],
        [fault],
        [event(6), event(7), checkpoint(9), fault],
        [checkpoint(8), event(9), event(10, state="SUCCEEDED")],
    ]

    assert await revisions(client, job_ids=["job-1"]) == [5, 6, 7, 9, 10]
    assert [w.after_revision if w.HasField("after_revision") else None for w in service.watches] == [None, 6, 6, 9]


async def test_a_stream_that_ends_before_the_final_state_is_a_fault(
    service: ScriptedService, client: WireClient
) -> None:
    service.streams = [[], [event(1)], [event(2, state="NEEDS_ATTENTION")], [event(3, state="SUCCEEDED")]]

    assert await revisions(client, job_ids=["job-1"]) == [1, 2, 3]
    assert len(service.watches) == 4


async def test_a_watch_of_a_project_goes_on_after_a_stream_that_ended(
    service: ScriptedService, client: WireClient
) -> None:
    service.streams = [[event(1, state="SUCCEEDED"), checkpoint(1)], [event(2, "job-2"), Hold()]]

    async with asyncio.timeout(60), aclosing(client.watch(project_id="p", include_finished=True)) as messages:
        seen = [(await anext(messages)).revision for _ in range(3)]

    assert seen == [1, 1, 2]
    assert [(w.project_id, w.include_finished) for w in service.watches] == [("p", True)] * 2
    await asyncio.wait_for(service.left.wait(), 60)


async def test_a_silent_stream_is_left_and_opened_again(service: ScriptedService) -> None:
    service.streams = [[event(1), Hold()], [event(2, state="SUCCEEDED")]]
    reconnect = Reconnect(silence=1.0, first_delay=0.01)

    async with WireClient(service.target, reconnect=reconnect) as client:
        assert await revisions(client, job_ids=["job-1"]) == [1, 2]


async def test_a_final_state_behind_the_cursor_ends_the_watch(service: ScriptedService, client: WireClient) -> None:
    service.streams = [[event(3, "a", "SUCCEEDED"), event(60, "b"), UNAVAILABLE], [event(61, "b", "CANCELLED")]]

    assert await revisions(client, job_ids=["a", "b"], after_revision=50) == [3, 60, 61]
    assert list(service.watches[1].job_ids) == ["b"]
    assert service.watches[1].after_revision == 60


async def test_a_watch_survives_the_restart_of_its_server(client: WireClient, service: ScriptedService) -> None:
    service.streams = [[event(1), Hold()]]
    port = service.target

    async with asyncio.timeout(60), aclosing(client.watch(job_ids=["job-1"])) as messages:
        await anext(messages)
        await asyncio.wait_for(service.holding.wait(), 60)
        await service.stop()
        async with ScriptedService(port) as restarted:
            restarted.streams = [[event(2, state="SUCCEEDED")]]
            assert [message.revision async for message in messages] == [2]
        assert restarted.watches[0].after_revision == 1


async def test_a_watch_is_given_up_when_the_server_stays_away(service: ScriptedService) -> None:
    service.streams = [[event(7), UNAVAILABLE]] + [[UNAVAILABLE]] * 100
    reconnect = Reconnect(first_delay=0.1, max_delay=0.1, random=lambda: 1.0, patience=0.35)

    async with WireClient(service.target, reconnect=reconnect) as client:
        with pytest.raises(WatchInterrupted) as caught:
            await revisions(client, job_ids=["job-1"])

    assert caught.value.revision == 7
    assert isinstance(caught.value.__cause__, Unavailable)
    assert 2 <= len(service.watches) <= 5


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(code=grpc.StatusCode.NOT_FOUND, reason="JOB_NOT_FOUND"), JobNotFound),
        (Fault(code=grpc.StatusCode.OUT_OF_RANGE, reason="CURSOR_AHEAD"), CursorAhead),
        (Fault(code=grpc.StatusCode.INTERNAL, reason="INTERNAL"), InternalError),
    ],
)
async def test_a_fault_that_reconnecting_cannot_mend_is_raised_at_once(
    service: ScriptedService, client: WireClient, fault: Fault, error: type[Exception]
) -> None:
    service.streams = [[fault]]

    with pytest.raises(error):
        await revisions(client, job_ids=["job-1"], after_revision=3)
    assert len(service.watches) == 1


async def test_a_compacted_cursor_is_raised_to_whoever_has_to_know_every_event(
    service: ScriptedService, client: WireClient
) -> None:
    service.streams = [[event(4), UNAVAILABLE], [COMPACTED]]

    with pytest.raises(CursorCompacted):
        await revisions(client, project_id="p")
    assert len(service.watches) == 2


async def test_a_gap_is_told_and_the_watch_goes_on_with_what_changed_in_it(
    service: ScriptedService, client: WireClient
) -> None:
    snapshots = [event(3, "a", kind="SNAPSHOT"), event(8, "b", "SUCCEEDED", kind="SNAPSHOT"), checkpoint(9)]
    service.streams = [[event(3, "a"), event(4, "b"), UNAVAILABLE], [COMPACTED], [UNAVAILABLE], [*snapshots, Hold()]]
    gaps: list[CursorCompacted] = []

    async with asyncio.timeout(60), aclosing(client.watch(project_id="p", on_gap=gaps.append)) as messages:
        seen = [(await anext(messages)).revision for _ in range(4)]

    assert seen == [3, 4, 8, 9]
    assert len(gaps) == 1
    assert [(w.HasField("after_revision"), w.include_finished) for w in service.watches] == [
        (False, False),
        (True, False),
        (False, True),
        (False, True),
    ]


async def test_a_service_that_loses_every_cursor_is_left(service: ScriptedService, client: WireClient) -> None:
    service.streams = [[COMPACTED], [COMPACTED], [event(1), Hold()]]
    gaps: list[CursorCompacted] = []

    with pytest.raises(CursorCompacted):
        await revisions(client, project_id="p", after_revision=2, on_gap=gaps.append)
    assert len(gaps) == 1


async def test_leaving_the_loop_ends_the_stream_on_the_server(service: ScriptedService, client: WireClient) -> None:
    service.streams = [[event(1), Hold()]]

    async with aclosing(client.watch(project_id="p")) as messages:
        await anext(messages)

    await asyncio.wait_for(service.left.wait(), 60)


def test_delays_double_up_to_a_bound_and_add_to_what_the_service_asks() -> None:
    reconnect = Reconnect(first_delay=1.0, max_delay=5.0, random=lambda: 0.5)
    fault = WatchInterrupted("", revision=None)

    assert [reconnect.delay(failures, fault) for failures in (1, 2, 3, 4, 400)] == [0.5, 1.0, 2.0, 2.5, 2.5]


async def test_the_service_tells_how_long_to_wait_before_reconnecting(service: ScriptedService) -> None:
    asked = Fault(code=grpc.StatusCode.UNAVAILABLE, reason="DRAINING", retry_after=Duration(nanos=250_000_000))
    service.streams = [[event(1), asked], [event(2, state="SUCCEEDED")]]
    began_at = time.monotonic()

    async with WireClient(service.target, reconnect=Reconnect(random=lambda: 0.0)) as client:
        assert await revisions(client, job_ids=["job-1"]) == [1, 2]

    assert time.monotonic() - began_at >= 0.25


async def test_waiting_returns_the_job_that_succeeded(service: ScriptedService, client: WireClient) -> None:
    service.streams = [[event(1), checkpoint(1), UNAVAILABLE], [event(2, state="SUCCEEDED", progress=1.0)]]

    done = await client.wait("job-1")

    assert (done.state, done.progress) == (JobState.JOB_STATE_SUCCEEDED, 1.0)


@pytest.mark.parametrize(
    ("state", "error", "told"),
    [
        ("FAILED", JobFailed, "has failed"),
        ("CANCELLED", JobCancelled, "was cancelled"),
        ("EXPIRED", JobExpired, "has expired"),
        ("NEEDS_ATTENTION", NeedsAttention, "needs attention"),
    ],
)
async def test_waiting_raises_what_became_of_the_job(
    service: ScriptedService, client: WireClient, state: str, error: type[JobFailed | NeedsAttention], told: str
) -> None:
    cause = JobError(reason="BAD_OUTPUT", message="too poor")
    service.streams = [[event(1), event(2, state=state, error=cause), Hold()]]

    with pytest.raises(error, match=rf"job job-1 {told}: too poor \(BAD_OUTPUT\)") as caught:
        await client.wait("job-1")

    assert caught.value.job.revision == 2


async def test_waiting_starts_afresh_when_its_cursor_is_lost(service: ScriptedService, client: WireClient) -> None:
    service.streams = [[event(1), UNAVAILABLE], [COMPACTED], [event(9, state="SUCCEEDED", kind="SNAPSHOT")]]

    assert (await client.wait("job-1")).revision == 9
    assert not service.watches[2].HasField("after_revision")
