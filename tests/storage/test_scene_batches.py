"""Concurrent updates of one scene within a process."""

import asyncio
from collections.abc import Sequence

from evergreen_storage import SceneStore, Storage, Unavailable, open_storage
from tests.storage.conftest import Clock

INDEX = "projects/p/s/metadata/scene.json"


async def test_updates_of_one_scene_share_writes(storage: Storage, scenes: SceneStore) -> None:
    await scenes.create("p", "s")
    writes, ready, all_ready = 0, 0, asyncio.Event()
    put = storage.put

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def make_folders(self, prefixes: Sequence[str]) -> None:
            nonlocal ready
            await storage.make_folders(prefixes)
            ready += 1
            if ready == 50:
                all_ready.set()

        async def put(self, key: str, data: bytes, **options: object) -> object:
            nonlocal writes
            writes += key == INDEX
            # All come while the first is written, however long each took until then.
            await all_ready.wait()
            await asyncio.sleep(0)
            return await put(key, data, **options)  # type: ignore[arg-type]  # passed on as it came

    counted = SceneStore(Counting(), clock=lambda: scene.updated_at)  # type: ignore[arg-type]  # by __getattr__
    scene = await scenes.get("p", "s")
    await asyncio.gather(*(counted.record_request("p", "s", f"job-{number}") for number in range(50)))

    assert len((await scenes.get("p", "s")).video_requests) == 50
    assert writes <= 2


async def test_an_update_that_comes_during_a_write_gets_the_next_one(storage: Storage, scenes: SceneStore) -> None:
    created = await scenes.create("p", "s")
    writing, go_on = asyncio.Event(), asyncio.Event()

    class Gated:
        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def put(self, key: str, data: bytes, **options: object) -> object:
            writing.set()
            await go_on.wait()
            return await storage.put(key, data, **options)  # type: ignore[arg-type]  # passed on as it came

    gated = SceneStore(Gated(), clock=lambda: created.updated_at)  # type: ignore[arg-type]  # by __getattr__
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(gated.record_request("p", "s", "job-1"))
        await writing.wait()
        late = tasks.create_task(gated.record_request("p", "s", "job-2"))
        await asyncio.sleep(0)
        go_on.set()

    assert late.result().video_requests == ("job-1", "job-2")
    assert (await scenes.get("p", "s")).video_requests == ("job-1", "job-2")


async def test_a_cancelled_writer_takes_no_other_with_it(scenes: SceneStore) -> None:
    await scenes.create("p", "s")
    tasks = [asyncio.create_task(scenes.record_request("p", "s", f"job-{number}")) for number in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert not any(isinstance(result, BaseException) for result in results[1:])
    assert set((await scenes.get("p", "s")).video_requests) >= {f"job-{number}" for number in range(1, 10)}


async def test_a_writer_that_is_cancelled_while_it_writes_leaves_the_changes_to_the_next(clock: Clock) -> None:
    writer: asyncio.Future[asyncio.Task[object] | None] = asyncio.get_running_loop().create_future()

    class Stuck:
        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def put(self, key: str, data: bytes, **options: object) -> object:
            if not writer.done():
                writer.set_result(asyncio.current_task())
                await asyncio.Event().wait()
            return await storage.put(key, data, **options)  # type: ignore[arg-type]  # passed on as it came

    async with open_storage("memory://") as storage:
        scenes = SceneStore(storage, clock=clock)
        await scenes.create("p", "s")
        stuck = SceneStore(Stuck(), clock=clock)  # type: ignore[arg-type]  # by __getattr__
        tasks = [asyncio.create_task(stuck.record_request("p", "s", f"job-{number}")) for number in range(3)]
        cancelled = await writer
        assert cancelled is not None
        cancelled.cancel()
        await asyncio.wait(tasks)
        kept = {*(await scenes.get("p", "s")).video_requests}

    assert [task for task in tasks if task.cancelled()] == [cancelled]
    assert {f"job-{number}" for number, task in enumerate(tasks) if task is not cancelled} <= kept


async def test_all_whose_changes_share_a_write_learn_that_it_failed(clock: Clock) -> None:
    writes, ready = 0, asyncio.Event()

    class Away:
        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def put(self, key: str, data: bytes, **options: object) -> object:
            nonlocal writes
            writes += 1
            await ready.wait()
            raise Unavailable("the storage is away")

    async with open_storage("memory://") as storage:
        scenes = SceneStore(storage, clock=clock)
        await scenes.create("p", "s")
        away = SceneStore(Away(), clock=clock)  # type: ignore[arg-type]  # by __getattr__
        tasks = [asyncio.create_task(away.record_request("p", "s", f"job-{number}")) for number in range(5)]
        await asyncio.sleep(0)
        ready.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        kept = (await scenes.get("p", "s")).video_requests

    assert [type(result) for result in results] == [Unavailable] * 5
    assert writes < 5
    assert kept == ()
