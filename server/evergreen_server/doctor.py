"""Checks what a server needs before it is started, or beside one that runs, and says what is wrong and what to do.

It changes nothing, but for a probe that it writes to the storage and removes again; a storage on disk has its folder
made for that.
"""

import asyncio
import json
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from secrets import token_hex
from typing import Literal, TypeAlias
from urllib.parse import quote

import psycopg
import sqlalchemy as sa

from evergreen_server.config import Config
from evergreen_server.gateway.places import gateways_files, most_connections
from evergreen_server.jobs.db.connect import ENGINE_SCHEMA
from evergreen_server.jobs.db.migrations import VERSION
from evergreen_server.jobs.db.postgres import Unfit, check_postgres, check_rights, postgres_engine
from evergreen_server.jobs.db.sqlite import unusable
from evergreen_server.parts.ground import open_gate
from evergreen_server.ports.provider import ProviderUnavailable
from evergreen_server.providers.runway.http.proxies import Proxies
from evergreen_server.providers.runway.http.raw import RawAnswer, call_once
from evergreen_server.rpc.connections import KEPT_FILES, connections_of, raise_file_limit
from evergreen_server.runtime.places import shown
from evergreen_server.runtime.reload import FileUnusable
from evergreen_server.webhooks.keys import read_keys
from evergreen_storage import AlreadyExists, Storage, StorageError, open_storage

__all__ = ["Finding", "examine"]

CHECK_SECONDS = 30.0
END_SECONDS = 5.0
"""For a check that got no answer to take back what it has begun, such as the probe."""
MOST_SKEW = timedelta(seconds=60)
"""Deadlines, signatures and leases are compared between machines."""
FEWEST_CONNECTIONS = 1000
PROBE = b"a probe of evergreen doctor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check has found; `advice` says what to do if something is wrong."""

    check: str
    state: Literal["ok", "wrong", "skipped"]
    text: str
    advice: str = ""


class Wrong(Exception):
    """Something is not as it must be."""

    def __init__(self, text: str, *, advice: str) -> None:
        super().__init__(text)
        self.advice = advice


class Skipped(Exception):
    """There is nothing to check."""


_Check: TypeAlias = Callable[[], Awaitable[str]]


async def examine(config: Config, *, seconds: float = CHECK_SECONDS) -> AsyncIterator[Finding]:
    """Yields what is found of each thing that a server with these settings needs; `seconds` bound each check.

    A thread of a check that got no answer may go on.
    """
    clocks: dict[str, datetime] = {}
    checks: dict[str, _Check] = {
        "access": lambda: _access(config),
        "database": lambda: asyncio.to_thread(_database, config, clocks),
        "storage": lambda: _storage(config),
        "provider": lambda: _provider(config, clocks),
        "clock": lambda: _clock(clocks),
        "files": lambda: _files(config),
        "webhooks": lambda: _webhooks(config),
    }
    yield Finding(check="settings", state="ok", text=f"read; data in {config.data_dir}")
    for name, check in checks.items():
        yield await _found(name, check, seconds)


async def _found(name: str, check: _Check, seconds: float) -> Finding:
    doing = asyncio.ensure_future(check())
    if not (await asyncio.wait([doing], timeout=seconds))[0]:
        doing.cancel()
        # Not for as long as that takes: what waits in a thread cannot be cancelled.
        await asyncio.wait([doing], timeout=END_SECONDS)
        doing.add_done_callback(lambda late: late.cancelled() or late.exception())
        advice = "see whether it can be reached from this machine, and how busy it is"
        return Finding(check=name, state="wrong", text=f"no answer in {seconds:g} s", advice=advice)
    try:
        return Finding(check=name, state="ok", text=doing.result())
    except Skipped as exc:
        return Finding(check=name, state="skipped", text=str(exc))
    except Wrong as exc:
        return Finding(check=name, state="wrong", text=str(exc), advice=exc.advice)


async def _access(config: Config) -> str:
    try:
        open_gate(config)
    except FileUnusable as exc:
        raise Wrong(str(exc), advice="mend the file, or make it anew: `evergreen token` makes tokens") from exc
    tokens = "tokens are required" if config.tokens_file else "no tokens: whoever reaches the server may do everything"
    return f"{tokens}; {'TLS' if config.tls_files else 'no TLS'}"


def _database(config: Config, clocks: dict[str, datetime]) -> str:
    url = sa.make_url(config.database_url)
    if url.get_backend_name() == "postgresql":
        return _postgres(config.database_url, url.render_as_string(), clocks)
    path = Path(url.database or "")
    if text := unusable(path):
        raise Wrong(f"{path} {text}", advice="set EVERGREEN_DATABASE_URL")
    if not path.exists():
        folder = next(parent for parent in path.parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            advice = "let the server's user write there, or set EVERGREEN_DATABASE_URL or EVERGREEN_DATA_DIR"
            raise Wrong(f"{path} cannot be made: {folder} is no folder that can be written", advice=advice)
        return f"{path} will be made"
    if not os.access(path, os.R_OK | os.W_OK):
        raise Wrong(f"{path} cannot be read and written", advice="give the file to the server's user")
    try:
        with sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5) as db:
            known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone()
            version = db.execute("SELECT version FROM schema_version").fetchone()[0] if known else None
        db.close()
    except sqlite3.Error as exc:
        advice = "restore it from a backup, or move it away to begin anew"
        raise Wrong(f"{path} cannot be read: {exc}", advice=advice) from exc
    return f"{path}, {_version(version)}"


def _postgres(url: str, name: str, clocks: dict[str, datetime]) -> str:
    advice = "see that it runs and can be reached, and EVERGREEN_DATABASE_URL"
    try:
        check_postgres(url)
        engine = postgres_engine(url, connections=1)
        try:
            with engine.connect() as db:
                known = sa.inspect(db).has_table("schema_version")
                version = db.execute(sa.text("SELECT version FROM schema_version")).scalar() if known else None
                check_rights(db, creates=version != VERSION, engine_schema=ENGINE_SCHEMA)
                clocks["the database"] = db.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        finally:
            engine.dispose()
    except Unfit as exc:
        raise Wrong(f"{name} {exc}", advice="as it says") from exc
    except (psycopg.Error, sa.exc.DBAPIError) as exc:
        cause = str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0]
        raise Wrong(f"{name} cannot be opened: {cause}", advice=advice) from exc
    return f"{name}, {_version(version)}"


def _version(version: int | None) -> str:
    if version is not None and version > VERSION:
        raise Wrong(
            f"the database has schema version {version}, and this release knows {VERSION} at most",
            advice="install the newer release again, or restore the database from before the upgrade",
        )
    if version is None:
        return "empty as yet"
    return f"schema version {version}" + ("" if version == VERSION else f", which the next start makes {VERSION}")


async def _storage(config: Config) -> str:
    place = shown(config.storage_url)
    with tempfile.TemporaryDirectory() as folder:
        try:
            async with open_storage(
                config.storage_url, environ=config.storage_environ, temp_dir=Path(folder), **config.storage_options
            ) as storage:
                return f"{place}: {await _probed(storage)}"
        except (StorageError, OSError) as exc:
            advice = "see EVERGREEN_STORAGE_URL, EVERGREEN_STORAGE_OPTIONS and the rights of its credentials"
            raise Wrong(f"{place}: {exc}", advice=advice) from exc


async def _probed(storage: Storage) -> str:
    """Returns what a storage can do, by trying. Raises StorageError, Wrong."""
    folder = f"evergreen-probe-{token_hex(8)}/"
    key, advice = f"{folder}probe", "use a storage that keeps what it is given, or another way to it"
    try:
        await storage.put(key, PROBE)
        data, _ = await storage.get(key, max_bytes=len(PROBE))
        if data != PROBE:
            raise Wrong("what is read is not what was written", advice=advice)
        if key not in [meta.key async for meta in storage.list(folder)]:
            raise Wrong("what was written is not listed", advice=advice)
        try:
            await storage.put(key, PROBE, if_absent=True)
        except AlreadyExists:
            pass
        else:
            raise Wrong("an object is replaced that must only be created", advice=advice)
        signs = await storage.sign(key, ttl=timedelta(minutes=1)) is not None
    finally:
        with suppress(StorageError):
            await storage.clear(folder)
    return "written, read, listed, created only once" + (", signed" if signs else "; it cannot sign URLs")


async def _provider(config: Config, clocks: dict[str, datetime]) -> str:
    if config.sandbox:
        raise Skipped("the sandbox, which the server brings along")
    place = shown(config.base_url)
    try:
        answer = await call_once(
            "GET",
            "/v1/organization",
            None,
            base_url=config.base_url,
            api_key=config.api_secret,
            proxies=Proxies(**config.provider_proxies),
            seconds=CHECK_SECONDS / 2,
        )
    except ProviderUnavailable as exc:
        advice = "see whether this machine may call it, by EVERGREEN_PROVIDER_PROXY if there is a proxy on the way"
        raise Wrong(f"{place}: {exc}", advice=advice) from exc
    with suppress(ValueError):
        clocks["the provider"] = parsedate_to_datetime(answer.date).astimezone(UTC)
    if answer.status in (401, 403):
        raise Wrong(f"{place} refuses the key (HTTP {answer.status})", advice="set RUNWAYML_API_SECRET to a valid key")
    if answer.status != 200:
        raise Wrong(f"{place} answers HTTP {answer.status}", advice="try again later; see RUNWAYML_BASE_URL")
    return f"{place} takes the key{_credits(answer)}"


def _credits(answer: RawAnswer) -> str:
    try:
        balance = json.loads(answer.body)["creditBalance"]
    except (ValueError, KeyError, TypeError):
        raise Wrong("it does not answer as the provider does", advice="see RUNWAYML_BASE_URL") from None
    return f"; {balance:,} credits" if isinstance(balance, int | float) else ""


async def _clock(clocks: dict[str, datetime]) -> str:
    if not clocks:
        raise Skipped("nothing to compare it with")
    now = datetime.now(UTC)
    for whose, time_there in clocks.items():
        if abs(now - time_there) > MOST_SKEW:
            apart = (now - time_there).total_seconds()
            text = f"this machine's is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} that of {whose}"
            raise Wrong(text, advice="have both set by NTP")
    return f"as that of {' and '.join(clocks)}"


async def _files(config: Config) -> str:
    limit = raise_file_limit()
    most = connections_of(limit, beside=most_connections(gateways_files(limit)) if config.http_listen else 0)
    if most < FEWEST_CONNECTIONS:
        text = f"{limit} files may be open at once, which leaves {max(0, most)} connections"
        least = FEWEST_CONNECTIONS + KEPT_FILES
        raise Wrong(text, advice=f"raise the limit to {least} or more: `ulimit -n`, or LimitNOFILE= of the unit")
    return f"{limit:,} may be open at once: {most:,} connections"


async def _webhooks(config: Config) -> str:
    if not config.webhooks:
        raise Skipped("off (EVERGREEN_WEBHOOKS)")
    if config.webhook_key_file is None:
        raise Skipped("no key (EVERGREEN_WEBHOOK_KEY_FILE): none can be set up")
    try:
        read_keys(config.webhook_key_file)
    except FileUnusable as exc:
        raise Wrong(str(exc), advice="as it says; every server of one database needs the same key") from exc
    return "the key can be used"
