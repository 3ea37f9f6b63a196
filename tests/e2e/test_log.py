"""The log of a real server: what gRPC's core writes is in it as records, and a disk full of it stops nothing."""

import asyncio
import json
from pathlib import Path

from evergreen.v1 import video_pb2 as v1
from tests.rpc.identities import certificate
from tests.rpc.test_tls import Files, answers
from tests.serving import WAIT_SECONDS, Control, ServerProcess


async def test_a_log_on_a_full_disk_stops_no_job(tmp_path: Path, sandbox: Control) -> None:
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: ASYNC230 # a device that answers at once
        async with ServerProcess(tmp_path / "data", sandbox.url, {"EVERGREEN_LOG_FORMAT": "json"}, log=full) as server:
            api = await server.start()
            jobs = [await api.generate(prompt_text=f"{number}") for number in range(5)]
            ended = [await api.finished(job.job_id) for job in jobs]

    assert {job.state for job in ended} == {v1.JOB_STATE_SUCCEEDED}


async def test_a_tls_handshake_that_fails_is_a_record_in_the_log(tmp_path: Path, sandbox: Control) -> None:
    authority, files = certificate("authority"), Files(tmp_path)
    files.show(certificate("server", authority))
    log = tmp_path / "data.log"
    changes = {**files.settings(), "EVERGREEN_LOG_FORMAT": "json"}
    async with ServerProcess(tmp_path / "data", sandbox.url, changes, preload=False) as server:
        api = await server.start()
        _, writer = await asyncio.open_connection(*api.address.split(":"))
        writer.write(b"no handshake" * 100)
        await writer.drain()
        async with asyncio.timeout(WAIT_SECONDS):
            # Nobody tells of a line in a file.
            while not (found := [each for each in records(log) if "Handshake failed" in each.get("text", "")]):  # noqa: ASYNC110 - as said
                await asyncio.sleep(0.05)
        writer.close()
        assert await answers(api.address, authority)

    assert {(each["event"], each["logger"], each["level"]) for each in found} == {("library wrote", "stderr", "INFO")}
    assert {each["place"].partition(":")[0] for each in found} == {"ssl_transport_security.cc"}


def records(log: Path) -> list[dict[str, str]]:
    """What was logged; every whole line must be one."""
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
