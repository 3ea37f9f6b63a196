"""Refused calls: each caller's are logged and recorded, and no storm of one fills the disk or hides another's."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.store import audit
from evergreen_server.jobs.store.audit import Entry, Question, delete_old, list_entries, row_of
from evergreen_server.ports.audit import Action, Origin
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.access.policy import TokenInvalid
from evergreen_server.rpc.refusals import LINES, MOST, OTHERS, Refusals
from evergreen_server.rpc.status import status_of

NOW = datetime(2026, 11, 29, tzinfo=UTC)
METHOD = "evergreen.v1.VideoService.GetStatus"


def origin(address: str = "192.0.2.7", caller: str = "") -> Origin:
    return Origin(caller=caller, call_id="a call", address=address)


class Case:
    """A collector whose interval lasts until the test ends it."""

    def __init__(self, refusals: Refusals, database: object) -> None:
        self._refusals = refusals
        self._database = database

    def refuse(self, origin: Origin, exc: Exception) -> None:
        self._refusals.refused(origin, METHOD, exc, status_of(exc))

    async def entries(self) -> list[Entry]:
        page = await self._database.read(lambda db: list_entries(db, Question(), "", 10_000))
        return list(page.entries)

    async def recorded(self, number: int) -> list[Entry]:
        async with asyncio.timeout(60):
            while True:
                if len(found := await self.entries()) >= number:
                    return found
                await asyncio.sleep(0.02)


async def test_a_storm_of_wrong_tokens_is_one_entry_and_a_few_lines_for_each_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        refusals = Refusals(database=database, clock=lambda: NOW, interval_seconds=3600)
        case, wrong = Case(refusals, database), TokenInvalid("sesame")
        running = asyncio.create_task(refusals.run())
        case.refuse(origin(), wrong)
        [first] = await case.recorded(1)
        for _ in range(1000):
            case.refuse(origin(), wrong)
        case.refuse(origin("198.51.100.1"), wrong)
        for number in range(3 * MOST):
            case.refuse(origin(f"203.0.113.{number}"), wrong)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        entries = await case.entries()

    assert (first.note.action, first.note.origin, first.note.details["count"]) == (
        Action.TOKEN_REFUSED,
        origin(),
        "1",
    ), "at once"
    assert first.note.details["reason"] == "TOKEN_INVALID"
    assert first.note.details["method"] == METHOD
    counts = {entry.note.origin.address: int(entry.note.details["count"]) for entry in entries if entry != first}
    assert counts["192.0.2.7"] == 1000
    assert counts["198.51.100.1"] == 1, "an honest one is not lost among them"
    assert len(counts) <= MOST + 1
    assert sum(counts.values()) == 1001 + 3 * MOST, "and none is lost"
    lines = [vars(record) for record in caplog.records if record.getMessage() == "request refused"]
    assert len([line for line in lines if line["address"] == "192.0.2.7"]) == LINES
    assert len([line for line in lines if line["address"] == "198.51.100.1"]) == 1
    assert len(lines) <= LINES * (MOST + 1)
    more = {vars(record)["of"]: vars(record)["more"] for record in caplog.records if "more" in vars(record)}
    assert more["192.0.2.7"] == 1001 - LINES
    assert more.keys() == {"192.0.2.7", OTHERS}
    assert "sesame" not in caplog.text


async def test_a_refusal_that_has_to_do_with_no_token_is_logged_and_not_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        case = Case(refusals := Refusals(database=database, clock=lambda: NOW), database)
        running = asyncio.create_task(refusals.run())
        case.refuse(origin(caller="ann"), InvalidRequest([FieldError(field="prompt_text", description="whisper")]))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert await case.entries() == []

    [record] = caplog.records
    facts = {name: vars(record)[name] for name in ("method", "code", "reason", "caller", "call_id", "address")}
    assert facts == {
        "method": METHOD,
        "code": grpc.StatusCode.INVALID_ARGUMENT.name,
        "reason": "INVALID_REQUEST",
        "caller": "ann",
        "call_id": "a call",
        "address": "192.0.2.7",
    }
    assert "whisper" not in caplog.text


async def test_entries_are_kept_for_so_long_and_refused_tokens_only_up_to_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "REFUSALS_KEPT", 3)
    days = [NOW - timedelta(days=age) for age in range(10)]
    rows = [row_of(day, origin().did(action)) for action in (Action.CANCEL, Action.TOKEN_REFUSED) for day in days]
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        await database.write(lambda db: db.execute(audit.audit.insert(), rows))
        removed = [await database.write(lambda db: delete_old(db, NOW - timedelta(days=7))) for _ in range(3)]
        left = (await database.read(lambda db: list_entries(db, Question(), "", 100))).entries

    assert removed == [4, 5, 0]
    assert [entry.at for entry in left if entry.note.action is Action.CANCEL] == days[:8]
    assert [entry.at for entry in left if entry.note.action is Action.TOKEN_REFUSED] == days[:3]
