"""The composition root: what the service is made of, in the order in which it is opened; closed in reverse."""

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from aiohttp.abc import AbstractResolver

from evergreen_server.background import Background
from evergreen_server.config import Config
from evergreen_server.ids import new_job_id
from evergreen_server.jobs.admission import Admission, Signals
from evergreen_server.jobs.database import open_database
from evergreen_server.jobs.engine import Engine
from evergreen_server.jobs.feed import Feed
from evergreen_server.jobs.model import Stage
from evergreen_server.jobs.polling import Durations, Pace
from evergreen_server.jobs.progress import ProgressBuffer
from evergreen_server.jobs.scenes import SceneDeletions
from evergreen_server.jobs.store import Change, JobStore
from evergreen_server.jobs.work import Limits, Shield, Tools
from evergreen_server.jobs.workflow import Runner
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.rpc.requests import RequestReader
from evergreen_server.rpc.scene import SceneService
from evergreen_server.rpc.server import serve as serve_rpc
from evergreen_server.rpc.transfers import Transfers
from evergreen_server.rpc.video import StatusCache, VideoService
from evergreen_server.rpc.wire import EventWire
from evergreen_server.runway.client import RunwayClient, Timeouts
from evergreen_server.runway.models import RunwayModels
from evergreen_server.runway.retry import RetryPolicy
from evergreen_server.sandbox import SANDBOX_KEY, Sandbox
from evergreen_storage import SceneStore, open_storage


def now() -> datetime:
    return datetime.now(UTC)


async def serve(
    config: Config,
    *,
    stop: asyncio.Event,
    ready: Callable[[str, str], None],
    resolver: AbstractResolver | None = None,
) -> None:
    """Serves until `stop`; calls `ready` with the gRPC address and the provider's URL once both answer.

    `resolver` looks up the hosts of callers' URLs; without one the system does.

    Raises what keeps it from starting, or the first fault of anything that must not end by itself.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(config.database_path))
        storage = await stack.enter_async_context(
            open_storage(config.storage_url, clock=now, environ=config.storage_environ, **config.storage_options)
        )
        # Beside the database, whose lock makes it ours alone: what a killed server left there is nobody's.
        temp_dir = config.database_path.with_name("temp")
        shutil.rmtree(temp_dir, ignore_errors=True)
        temp_dir.mkdir()
        base_url, secret = config.base_url, config.api_secret
        if config.sandbox:
            state_dir = config.data_dir / "state" / "sandbox"
            sandbox = await stack.enter_async_context(Sandbox(speed=config.provider_speed, state_dir=state_dir))
            base_url, secret = sandbox.url, SANDBOX_KEY
        provider = await stack.enter_async_context(
            RunwayClient(
                base_url=base_url,
                api_key=secret,
                timeouts=Timeouts(),
                retries=RetryPolicy(),
                random=random.random,
                now=now,
                monotonic=time.monotonic,
            )
        )
        media = await stack.enter_async_context(
            Media(private_hosts=config.picture_hosts, limits=MediaLimits(), temp_dir=temp_dir, resolver=resolver)
        )
        models = RunwayModels()
        scenes = SceneStore(storage, clock=now)
        wire = EventWire()
        statuses = StatusCache()
        feed = Feed(database=database, wire=wire, clock=now, found=statuses.found)
        signals = Signals()

        def changed(changes: Sequence[Change]) -> None:
            statuses.changed(changes)
            feed.changed(changes)
            for change in changes:
                if change.wished:
                    signals.wake(change.job_id)

        engine = Engine(database)
        store = JobStore(database=database, clock=now, encode_event=wire.event, enqueue=engine.enqueue, changed=changed)
        admission = Admission(provider=provider, monotonic=time.monotonic, scale=config.provider_speed)
        progress = ProgressBuffer(store.flush)
        background = await stack.enter_async_context(Background())
        # Left before the provider and the database close, so that a POST under way can still record its task.
        shield = await stack.enter_async_context(Shield(grace_seconds=config.grace_seconds))
        runner = Runner(
            Tools(
                store=store,
                provider=provider,
                models=models,
                media=media,
                scenes=scenes,
                admission=admission,
                signals=signals,
                progress=progress,
                durations=Durations(),
                pace=Pace(scale=config.provider_speed),
                limits=Limits(),
                random=random.Random(),
                clock=now,
                monotonic=time.monotonic,
                shield=shield,
            )
        )
        for job in await store.unfinished():
            # A job being delivered has no task under way any more.
            if job.task_id and job.stage is not Stage.DELIVERING:
                admission.hold(job)
        for name, work in (
            ("feed", feed.run()),
            ("admission", admission.run()),
            ("progress", progress.run()),
            ("sweep", runner.sweep()),
        ):
            background.start(work, name=name)
        await stack.enter_async_context(engine.open(runner.run))
        video = VideoService(
            store=store,
            feed=feed,
            provider=provider,
            models=models,
            reader=RequestReader(models=models, uris=media, clock=now),
            statuses=statuses,
            new_id=new_job_id,
        )
        address = await stack.enter_async_context(
            serve_rpc(
                listen=config.listen,
                video=video,
                scene=SceneService(
                    scenes=scenes,
                    deletions=SceneDeletions(database=database, store=store, feed=feed, scenes=scenes, clock=now),
                    media=media,
                    transfers=Transfers(),
                    shield=shield,
                    clock=now,
                ),
                drain=feed.drain,
                grace_seconds=config.grace_seconds,
            )
        )
        ready(address, base_url)
        await stop.wait()
