"""The service's whole way from a committed change to its watchers, with somebody in the same process to change a job.

Table, store, hub, RPC edge: all but the engine and the provider, so that events come at the pace asked for.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import uvloop

from evergreen_server.gateway.server import serve as serve_http
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.ports.metrics import NullCalls
from evergreen_server.ports.specs import GenerationSpec
from evergreen_server.rpc.access.policy import Access
from evergreen_server.rpc.arrivals import Arrivals
from evergreen_server.rpc.connections import Connections
from evergreen_server.rpc.messages.events import EventWire
from evergreen_server.rpc.server import serve
from evergreen_server.rpc.services.video import VideoService
from evergreen_server.rpc.status_cache import StatusCache
from evergreen_server.rpc.streams import MOST_WATCHES, Streams
from evergreen_server.runtime.gc import tune_gc
from evergreen_server.runtime.ids import JobIds
from tests.benchmarks.commanded import obey, paced
from tests.jobs.feed.films import GivenFilms

EXECUTION = "benchmark"


class Nothing:
    """Stands for what the calls measured here never ask; any other call fails loudly."""

    CreateScene = GetScene = ListScenes = DeleteScene = UploadAsset = DownloadAsset = DeleteAsset = GetAssetUrl = None
    PlanFilm = EditFilm = GetFilm = ListFilms = StartFilm = ApproveFilm = CancelFilm = DeleteFilm = ExportFilm = None
    ListAuditEntries = CreateWebhook = GetWebhook = ListWebhooks = UpdateWebhook = DeleteWebhook = RotateSecret = None
    SendTest = ListDeliveries = Redeliver = None


def gateway(local: str) -> AbstractAsyncContextManager[str]:
    """A gateway in the same process and loop, as the service has it."""
    return serve_http(
        listen="127.0.0.1:0",
        target=local,
        tls=None,
        hosts=(),
        origins=(),
        # All of a benchmark's sockets come from one address, as through a proxy.
        proxies=("127.0.0.1",),
        models={},
        files=100_000,
        grace_seconds=0.0,
        answered=lambda _route, _status: None,
        opened=lambda _numbers: None,
        thumbnailer=Nothing(),
    )


def now() -> datetime:
    return datetime.now(UTC)


def request(number: int) -> JobRequest:
    return JobRequest(
        project_id="film",
        scene_id="scene-1",
        request_id=f"benchmark-{number}",
        digest="",
        spec=GenerationSpec(model="gen4.5", prompt_text="a rocket rises", ratio="1280:720", duration_seconds=5),
        start_by=now() + timedelta(days=1),
        labels={"team": "benchmarks"},
    )


def toggled(job: Job) -> Job:
    """Changes the stage, which is an event that no watcher may miss."""
    stage = Stage.THROTTLED if job.stage is Stage.GENERATING else Stage.GENERATING
    return replace(job, state=State.RUNNING, stage=stage)


async def main(jobs: int, http: bool) -> None:
    """Says the address, with `http` the URL of a gateway, and the ids of so many jobs."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with open_database(f"sqlite:///{Path(folder) / 'watched.sqlite'}") as database:
            statuses, wire, ids = StatusCache(), EventWire(), JobIds(now)
            hub = WatchHub(
                database=database, films=GivenFilms(), wire=wire, clock=now, on_events_read=statuses.on_events_read
            )

            def changed(changes: Sequence[Change]) -> None:
                statuses.on_commit(changes)
                hub.on_commit(changes)

            store = JobStore(
                database=database,
                replica_id="local",
                clock=now,
                encode_event=wire.event,
                enqueue=lambda _db, _job: None,
                changed=changed,
            )
            video = VideoService(
                store=store,
                tasks=Nothing(),
                hub=hub,
                provider=Nothing(),
                account=Nothing(),
                models=Nothing(),
                intake=Nothing(),
                statuses=statuses,
                forecasts=Nothing(),
                watches=Streams(MOST_WATCHES),
            )
            accepted = []
            for number in range(jobs):
                job = await store.accept(request(number), job_id=ids.new(), estimated_millicredits=None, inline={})
                await store.claim(job.job_id, attempt=1, restarts=0, fencing_token=EXECUTION)
                accepted.append(job)

            async def publish(number: int) -> None:
                await store.change(accepted[number % jobs], toggled, fencing_token=EXECUTION)

            async def carry_out(command: list[str]) -> str:
                """`SIZE`: changes the first job. `SIZE TIMES HERTZ`: so often, job by job; gives the seconds in all."""
                _size, *pace = command
                if pace:
                    return str(await paced(publish, int(pace[0]), float(pace[1])))
                await publish(0)
                return "published"

            running = asyncio.create_task(hub.run())
            local = f"unix:{folder}/grpc"
            async with AsyncExitStack() as stack:
                serving = serve(
                    listen="127.0.0.1:0",
                    video=video,
                    scene=Nothing(),
                    film=Nothing(),
                    webhook=Nothing(),
                    audit=Nothing(),
                    access=Access(None),
                    certificates=None,
                    drain=hub.drain,
                    leave=partial(asyncio.sleep, 0),
                    healthy=lambda: True,
                    grace_seconds=0.0,
                    connections=Connections(most=100_000, age_seconds=0.0),
                    arrivals=Arrivals(),
                    calls=NullCalls(),
                    tracer=None,
                    local=local,
                )
                said = [await stack.enter_async_context(serving)]
                if http:
                    said.append(await stack.enter_async_context(gateway(local)))
                tune_gc()
                await obey(" ".join([*said, *(job.job_id for job in accepted)]), carry_out)
            running.cancel()
            await asyncio.wait([running])


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, "http" in sys.argv))
