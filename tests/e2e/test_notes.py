"""SIGKILL between the record of who changes a file and the change: the record never lacks what was done."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import audit_pb2, scene_pb2
from tests.e2e.holds import PROGRAM, Holds
from tests.rpc.scenes import upload
from tests.serving import SAMPLES, Api, Control, ServerProcess

PLACE = {"project_id": "film", "scene_id": "one"}
DATA = (SAMPLES / "rocket.jpg").read_bytes()
UNKNOWN = {"outcome": "UNKNOWN"}
SIZE = {"size_bytes": str(len(DATA))}
MOMENTS = {
    "publish .jpg": ("UPLOAD_ASSET", {**SIZE, **UNKNOWN}, False),
    "noted whole": ("UPLOAD_ASSET", {**SIZE, **UNKNOWN}, True),
}
OF_DELETIONS = {
    "note committed": ("DELETE_ASSET", UNKNOWN, True),
    "noted whole": ("DELETE_ASSET", UNKNOWN, False),
}
"""Where the server dies; beside it, what is recorded of what was asked, and whether the file is there."""


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


async def entries(api: Api, path: str) -> list[tuple[str, dict[str, str]]]:
    asked = audit_pb2.ListAuditEntriesRequest(project_id="film", subject=path)
    found = (await api.audit.ListAuditEntries(asked)).entries
    actions = [audit_pb2.AuditAction.Name(each.action).removeprefix("AUDIT_ACTION_") for each in found]
    return [(action, dict(each.details)) for action, each in zip(actions, found, strict=True)]


async def delete(api: Api, path: str) -> None:
    await api.scene.DeleteAsset(scene_pb2.DeleteAssetRequest(**PLACE, path=path))


async def test_a_server_killed_between_a_record_and_its_file_leaves_the_record(
    tmp_path: Path, sandbox: Control, holds: Holds
) -> None:
    environ = {"PYTEST_HELD": str(tmp_path / "held")}
    images = tmp_path / "data" / "projects" / "film" / "one" / "images"
    async with ServerProcess(tmp_path / "data", sandbox.url, environ, program=PROGRAM) as server:
        api = await server.start()
        for number, (moment, (action, recorded, there)) in enumerate([*MOMENTS.items(), *OF_DELETIONS.items()]):
            path, before = f"images/{number}.jpg", []
            if action == "DELETE_ASSET":
                await upload(api, DATA, **PLACE, path=path)
                before = [("UPLOAD_ASSET", SIZE)]
            holds.at(moment)
            call = asyncio.ensure_future(delete(api, path) if before else upload(api, DATA, **PLACE, path=path))
            await holds.reached()
            await server.end()
            await asyncio.wait({call})
            assert isinstance(call.exception(), grpc.aio.AioRpcError), moment
            api = await server.start()

            assert await entries(api, path) == [(action, recorded), *before], moment
            assert (images / f"{number}.jpg").exists() is there, moment
            # What was asked may be asked again, and is recorded then.
            if there is (action == "UPLOAD_ASSET"):
                continue
            await (delete(api, path) if before else upload(api, DATA, **PLACE, path=path))
            again = (action, {} if before else SIZE)
            assert await entries(api, path) == [again, (action, recorded), *before], moment
