"""Databases as teams run them: behind poolers, read-only for a while, with few rights, in other encodings, on a network
disk."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import psycopg
import pytest
import sqlalchemy as sa

from evergreen.v1 import video_pb2 as v1
from evergreen_server.jobs.db.connect import DatabaseInUse, DatabaseUnusable, open_database
from evergreen_server.jobs.db.database import TRANSIENT_ERRORS
from evergreen_server.jobs.db.postgres import postgres_engine
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.db.sqlite import check_sqlite, network_disk
from tests.jobs.lives import check_lives
from tests.pooler import pooled
from tests.postgres import OwnPostgres, Postgres, own_postgres
from tests.serving import Control, reason_of, serving


@pytest.fixture(scope="module")
def own() -> Iterator[OwnPostgres]:
    with own_postgres() as server:
        yield server


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        for statement in statements:
            db.execute(statement)


def asked(url: str, query: str) -> str:
    with psycopg.connect(url) as db:
        row = db.execute(query).fetchone()
    assert row is not None
    return str(row[0])


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:@").geturl()


async def test_jobs_are_done_behind_a_pooler_by_session(tmp_path: Path, sandbox: Control, own: OwnPostgres) -> None:
    with pooled(own.create(), by_transaction=False) as (url, pooler):
        async with serving(tmp_path / "data", sandbox.url, EVERGREEN_DATABASE_URL=url) as api:
            made = [await api.generate() for _ in range(5)]
            ended = [await api.finished(job.job_id) for job in made]
            await check_lives(api, "film")

    assert {job.state for job in ended} == {v1.JOB_STATE_SUCCEEDED}
    assert not pooler.refused


async def test_bounds_of_waits_hold_behind_a_pooler_too(own: OwnPostgres) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    query = sa.text("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    with pooled(own.create(), by_transaction=False) as (url, _):
        async with open_database(url) as database:
            found = await database.read(lambda db: tuple(db.execute(query).one()))

    assert found == ("30s", "15s", "5s")


async def test_a_pooler_by_transaction_is_refused_in_one_sentence(own: OwnPostgres) -> None:
    with (
        pooled(own.create(), by_transaction=True) as (url, _),
        pytest.raises(DatabaseUnusable, match=r"pool_mode = transaction.*session$") as refused,
    ):
        async with open_database(url):
            pass

    assert "\n" not in str(refused.value)


async def test_a_database_that_is_read_only_for_a_while_costs_no_job(
    tmp_path: Path, sandbox: Control, own: OwnPostgres
) -> None:
    url = own.create()

    def switch(word: str) -> None:
        run(
            url,
            "SET default_transaction_read_only = off",
            f"ALTER SYSTEM SET default_transaction_read_only = {word}",
            "SELECT pg_reload_conf()",
        )
        # A new connection has what the whole server has read. Until then any number of jobs could be made.
        deadline = time.monotonic() + 60
        while asked(url, "SHOW default_transaction_read_only") != word:
            assert time.monotonic() < deadline, "the server does not read its settings"

    refused: list[tuple[grpc.StatusCode, str]] = []
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_DATABASE_URL=url) as api:
        made = [await api.generate() for _ in range(6)]
        await asyncio.to_thread(switch, "on")
        try:
            async with asyncio.timeout(60):
                # Each process of the database reads its new settings when it comes to it. Until all have, hundreds
                # could be made in a second, and all of them would have to end.
                while not refused:
                    try:
                        made.append(await api.generate())
                        await asyncio.sleep(0.1)
                    except grpc.aio.AioRpcError as error:
                        refused.append((error.code(), reason_of(error)))
            # Those that are under way go on meanwhile, as far as they can.
            await asyncio.sleep(4)
        finally:
            await asyncio.to_thread(switch, "off")
        async with asyncio.timeout(60):
            while True:
                with suppress(grpc.aio.AioRpcError):
                    made.append(await api.generate())
                    break
        ended = [await api.finished(job.job_id) for job in made]
        await check_lives(api, "film")

    assert set(refused) == {(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")}
    assert {job.state for job in ended} == {v1.JOB_STATE_SUCCEEDED}


def test_a_connection_that_has_read_a_snapshot_writes_only_where_the_server_lets_it(own: OwnPostgres) -> None:
    engine = postgres_engine(own.create(), connections=1)
    try:
        for _ in range(2):
            with engine.connect().execution_options(postgresql_readonly=True) as connection:
                connection.execute(sa.text("SELECT 1"))
        with engine.begin() as connection:
            connection.execute(sa.text("SET default_transaction_read_only = on"))
        with engine.connect() as connection, pytest.raises(TRANSIENT_ERRORS):
            connection.execute(sa.text("CREATE TABLE written (id int)"))
    finally:
        engine.dispose()


async def test_no_connection_is_made_to_a_standby(own: OwnPostgres) -> None:
    url = own.create()
    run(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_read_only = on")

    with pytest.raises(DatabaseUnusable, match="read-only"):
        async with open_database(url):
            pass


@pytest.mark.parametrize("state", ["25006", "0A000", "26000", "42P05", "57P01", "57P03", "40001", "53300"])
async def test_a_connection_that_is_of_no_use_any_more_is_dropped(postgres: Postgres, state: str) -> None:
    async with open_database(postgres.create()) as database:

        def fail(db: sa.Connection) -> None:
            db.execute(sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'as it says' USING ERRCODE = '{state}'; END $$"))

        backend = sa.text("SELECT pg_backend_pid()")
        before = {await database.write(lambda db: db.execute(backend).scalar_one()) for _ in range(20)}
        with pytest.raises(TRANSIENT_ERRORS):
            await database.write(fail)
        after = {await database.write(lambda db: db.execute(backend).scalar_one()) for _ in range(20)}

    if state in ("25006", "0A000", "26000", "42P05"):
        assert not before & after


ENCODINGS = ["LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"]


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_database_of_another_encoding_is_refused(own: OwnPostgres, encoding: str) -> None:
    url, name = own.create(), f"in_{encoding.lower()}"
    run(url, f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")

    with pytest.raises(DatabaseUnusable, match=f"encoding {encoding}.*UTF8"):
        async with open_database(urlsplit(url)._replace(path=f"/{name}").geturl()):
            pass


RIGHTS = {
    "none": ([], "needs CREATE on the database .* CREATE SCHEMA dbos AUTHORIZATION"),
    "tables alone": (["GRANT CREATE ON SCHEMA public TO {role}"], "needs CREATE on the database"),
    "schemas alone": (["GRANT CREATE ON DATABASE {name} TO {role}"], "needs CREATE on the schema public"),
    "another's schema": (
        ["GRANT CREATE ON SCHEMA public TO {role}", "CREATE SCHEMA dbos"],
        "needs CREATE on the schema dbos",
    ),
    "no schema to be found": (["ALTER ROLE {role} SET search_path = elsewhere"], "needs CREATE on the"),
}


@pytest.mark.parametrize("rights", RIGHTS)
async def test_a_role_that_lacks_a_right_hears_which(own: OwnPostgres, rights: str) -> None:
    statements, text = RIGHTS[rights]
    url, role = own.create(), f"role_{list(RIGHTS).index(rights)}"
    name = urlsplit(url).path[1:]
    # As PostgreSQL has it from version 15 on.
    run(url, f"CREATE ROLE {role} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    run(url, *(statement.format(role=role, name=name) for statement in statements))

    with pytest.raises(DatabaseUnusable, match=text) as refused:
        async with open_database(as_role(url, role)):
            pass

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "granted",
    [
        ["GRANT CREATE ON DATABASE {name} TO {role}", "GRANT CREATE ON SCHEMA public TO {role}"],
        ["CREATE SCHEMA dbos AUTHORIZATION {role}", "GRANT CREATE ON SCHEMA public TO {role}"],
    ],
)
async def test_few_rights_are_enough(tmp_path: Path, sandbox: Control, own: OwnPostgres, granted: list[str]) -> None:
    url, role = own.create(), f"few_{granted[0].split()[0].lower()}"
    name = urlsplit(url).path[1:]
    run(url, f"CREATE ROLE {role} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    run(url, *(statement.format(role=role, name=name) for statement in granted))

    for _ in range(2):
        async with serving(tmp_path / "data", sandbox.url, EVERGREEN_DATABASE_URL=as_role(url, role)) as api:
            job = await api.finished((await api.generate()).job_id)
        # What was made needs no right to make more.
        run(url, f"REVOKE CREATE ON DATABASE {name} FROM {role}", f"REVOKE CREATE ON SCHEMA public FROM {role}")
        assert job.state == v1.JOB_STATE_SUCCEEDED


async def test_one_text_that_the_database_cannot_represent_breaks_nobody_else(
    tmp_path: Path, sandbox: Control, postgres: Postgres
) -> None:
    url = postgres.create()
    await sandbox.account(maxConcurrentGenerations=0)
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_DATABASE_URL=url) as api:
        bad, good = await api.generate(project_id="bad"), await api.generate()

        # As a release took it that did not refuse it yet.
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        with engine.begin() as db:
            spec = db.execute(sa.select(jobs.c.spec).where(jobs.c.job_id == bad.job_id)).scalar_one()
            spec = {**spec, "prompt_text": "\0\ud800", "options": {"name": "\0"}}
            db.execute(jobs.update().where(jobs.c.job_id == bad.job_id).values(spec=spec))
        engine.dispose()

        assert (await api.until(good.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)).job_id == good.job_id
        assert (await api.status(good.job_id)).queue_position
        listed = await api.video.ListVideos(v1.ListVideosRequest(project_id="film"))
        assert [job.job_id for job in listed.jobs] == [good.job_id]


MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/team rw - nfs4 server:/export rw
31 22 0:41 / /mnt/team/local rw - xfs /dev/sdb1 rw
32 22 0:42 / /mnt/with\\040space rw - cifs //server/share rw
33 22 0:43 / /mnt/ssh rw - fuse.sshfs me@there: rw
34 22 0:44 / /mnt/usb rw - fuseblk /dev/sdc1 rw
35 22 0:45 / /mnt/over rw - nfs server:/below rw
36 22 0:46 / /mnt/over rw - tmpfs tmpfs rw
odd line
37 22 0:47 / /mnt/odd rw -
"""
DISKS = {
    "/data/jobs.sqlite": None,
    "/mnt/team/jobs.sqlite": "nfs4",
    "/mnt/teamwork/jobs.sqlite": None,
    "/mnt/team/local/jobs.sqlite": None,
    "/mnt/with space/a/jobs.sqlite": "cifs",
    "/mnt/ssh/jobs.sqlite": "fuse.sshfs",
    "/mnt/usb/jobs.sqlite": None,
    "/mnt/over/jobs.sqlite": None,
    "/mnt/odd/jobs.sqlite": None,
}


@pytest.mark.parametrize("path", DISKS)
def test_a_network_disk_is_known_by_what_is_mounted_there(path: str) -> None:
    assert network_disk(Path(path), MOUNTINFO.splitlines()) == DISKS[path]


VERSIONS = [
    ((3, 11), (3, 40, 1), None),
    ((3, 11), (3, 34, 0), None),
    ((3, 12), (3, 42, 0), None),
    ((3, 14), (3, 50, 4), None),
    ((3, 12), (3, 41, 2), "needs SQLite 3.42 or newer under Python 3.12, and here is 3.41.2; install"),
    ((3, 13), (3, 40, 1), "needs SQLite 3.42 or newer under Python 3.13, and here is 3.40.1; install"),
]


@pytest.mark.parametrize(("python", "sqlite", "text"), VERSIONS)
def test_a_python_whose_sqlite_is_too_old_for_it_is_refused(
    python: tuple[int, int], sqlite: tuple[int, int, int], text: str | None
) -> None:
    found = check_sqlite(Path("/data/jobs.sqlite"), python=python, sqlite=sqlite, mounts=[])

    assert found == text or (text is not None and (found or "").startswith(text))


async def test_a_network_disk_is_refused_in_one_sentence() -> None:
    found = check_sqlite(Path("/mnt/ssh/jobs.sqlite"), python=(3, 11), sqlite=(3, 40, 1), mounts=MOUNTINFO.splitlines())

    assert found is not None
    assert "network disk (fuse.sshfs)" in found
    assert "PostgreSQL" in found


async def test_a_file_that_is_damaged_is_a_database_that_is_away(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    async with open_database(f"sqlite:///{path}"):
        pass
    with sqlite3.connect(path) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)

    async with open_database(f"sqlite:///{path}") as database:
        for _ in range(2):
            with pytest.raises(TRANSIENT_ERRORS, match="malformed"):
                await database.read(lambda db: db.execute(sa.select(jobs)).all())


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(DatabaseUnusable, match="not a database"):
        async with open_database(f"sqlite:///{path}"):
            pass


async def test_a_file_that_another_has_open_or_that_cannot_be_is_refused_in_one_sentence(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    async with open_database(url):
        with pytest.raises(DatabaseInUse, match="another process has the database"):
            await open_database(url).__aenter__()

    with pytest.raises(DatabaseUnusable, match="cannot be opened"):
        await open_database(f"sqlite:///{tmp_path / 'jobs.sqlite' / 'inside.sqlite'}").__aenter__()
