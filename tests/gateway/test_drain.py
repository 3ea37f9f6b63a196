"""The orderly end: watches end with their checkpoint, calls under way are answered, and nothing new begins."""

import asyncio
import json
import signal
import struct
from pathlib import Path

import aiohttp

from evergreen.v1 import video_pb2
from tests.gateway.gateways import VIDEO, head, raw
from tests.serving import Control, ServerProcess, request

STREAM = {"Content-Type": "application/connect+proto"}


async def message(answer: aiohttp.ClientResponse) -> tuple[int, bytes]:
    flags, length = struct.unpack(">BI", await answer.content.readexactly(5))
    return flags, await answer.content.readexactly(length)


async def test_sigterm_ends_watches_with_their_checkpoint_and_answers_calls(tmp_path: Path, sandbox: Control) -> None:
    settings = {"EVERGREEN_HTTP_LISTEN": "127.0.0.1:0", "EVERGREEN_GRACE_SECONDS": "20"}
    async with ServerProcess(tmp_path / "data", sandbox.url, settings) as server:
        api = await server.start()
        asked = video_pb2.WatchProgressRequest(project_id="film").SerializeToString()
        async with aiohttp.ClientSession() as session:
            watch = await session.post(
                f"{api.http}{VIDEO}/WatchProgress", data=struct.pack(">BI", 0, len(asked)) + asked, headers=STREAM
            )
            assert video_pb2.WatchProgressResponse.FromString((await message(watch))[1]).HasField("checkpoint")
            await sandbox.fault("throttle", operation="create", prompt="held", seconds=100)
            job = await api.generate(prompt_text="held")
            _, data = await message(watch)
            while (event := video_pb2.WatchProgressResponse.FromString(data)).event.job.stage != (
                video_pb2.JOB_STAGE_THROTTLED
            ):
                _, data = await message(watch)
            # A call that has come halfway.
            body = json.dumps({"jobId": job.job_id}).encode()
            host, port = api.http.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(
                head("POST", f"{VIDEO}/GetStatus", "Content-Type: application/json", f"Content-Length: {len(body)}")
            )
            writer.write(body[:5])
            await writer.drain()
            assert (await raw(api.http, head("GET", "/readyz"))).status == 200

            ending = asyncio.create_task(server.end(signal.SIGTERM))

            flags, data = await message(watch)
            told = video_pb2.WatchProgressResponse.FromString(data)
            assert (flags, told.HasField("checkpoint"), told.revision) == (0, True, event.revision)
            flags, data = await message(watch)
            error = json.loads(data)["error"]
            assert (flags, error["code"], len(error["details"])) == (2, "unavailable", 2)
            not_ready = await raw(api.http, head("GET", "/readyz"))
            refused = await raw(api.http, head("GET", "/session"))
            alive = await raw(api.http, head("GET", "/healthz"))
            assert (not_ready.status, refused.status, alive.status) == (503, 503, 200)
            assert json.loads(refused.body)["reason"] == "DRAINING"
            assert refused.headers["connection"] == "close"
            assert not ending.done()
            writer.write(body[5:])
            answer = (await reader.read()).decode()
            assert answer.startswith("HTTP/1.1 200")
            assert job.job_id in answer
            writer.close()
            assert await ending == 0


async def test_grpc_serves_while_http_drains_and_a_call_that_never_comes_is_cut_off(
    tmp_path: Path, sandbox: Control
) -> None:
    settings = {"EVERGREEN_HTTP_LISTEN": "127.0.0.1:0", "EVERGREEN_GRACE_SECONDS": "1"}
    async with ServerProcess(tmp_path / "data", sandbox.url, settings) as server:
        api = await server.start()
        host, port = api.http.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(head("POST", f"{VIDEO}/GetStatus", "Content-Type: application/json", "Content-Length: 9"))
        await writer.drain()
        assert (await raw(api.http, head("GET", "/healthz"))).status == 200

        ending = asyncio.create_task(server.end(signal.SIGTERM))
        async with asyncio.timeout(60):
            while (await raw(api.http, head("GET", "/readyz"))).status == 200:
                pass
        made = (await api.video.GenerateVideo(request())).job

        assert made.job_id
        assert await reader.read() == b""
        writer.close()
        assert await ending == 0
