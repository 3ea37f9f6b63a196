"""Where a client cannot work it says so at once: in a forked process, in another loop, behind a proxy that refuses."""

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator

import grpc
import pytest

from evergreen import CallError, WireClient
from tests.http2 import ACK, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame
from tests.loopback import listening
from tests.serving import Api

FORKING = """
    import asyncio, os, sys
    from evergreen import WireClient

    async def used(client):
        async with asyncio.timeout(60):
            {use}

    async def main():
        client = WireClient({address!r})
        async with client:
            assert await client.healthy()
            child = os.fork()
            if child == 0:
                asyncio.events._set_running_loop(None)
                try:
                    asyncio.new_event_loop().run_until_complete(used(client))
                    print("worked", flush=True)
                except RuntimeError as error:
                    print(error, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            assert await client.healthy()

    asyncio.run(main())
"""


CLOSED = """
    import asyncio, os
    from evergreen import WireClient

    async def used():
        async with asyncio.timeout(60), WireClient({address!r}) as client:
            assert await client.healthy()

    asyncio.run(used())
    child = os.fork()
    asyncio.run(used())
    if child:
        assert os.waitpid(child, 0)[1] == 0
    print("worked", flush=True)
"""


async def run(program: str, **fields: str) -> str:
    """What a program of its own says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", textwrap.dedent(program.format(**fields))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize(
    "use",
    [
        "await client.healthy()",
        "await client.status('a')",
        "await anext(client.watch(project_id='film'))",
        "await client.scenes.show('film', 'one')",
        "await WireClient('127.0.0.1:1').__aenter__()",
    ],
)
async def test_a_forked_process_is_told_at_once_that_it_cannot_use_a_client(api: Api, use: str) -> None:
    assert "forked while a client was open" in await run(FORKING, address=api.address, use=use)


async def test_a_process_that_was_forked_after_all_clients_were_closed_may_open_one(api: Api) -> None:
    assert await run(CLOSED, address=api.address) == "worked\nworked\n"


def test_a_client_that_was_kept_open_into_another_loop_says_so() -> None:
    client = WireClient("127.0.0.1:1")

    async def opened() -> object:
        await client.__aenter__()
        return client.scenes

    scenes = asyncio.run(opened())

    for use in (client.healthy, lambda: client.status("a"), lambda: scenes.show("film", "one")):
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(use())


@pytest.fixture
async def proxy() -> AsyncIterator[str]:
    """Answers each call with HTTP's own 413, as nginx does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(PREFACE))
        writer.write(frame(SETTINGS, 0, 0, b""))
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == SETTINGS and not head[4] & ACK:
                writer.write(frame(SETTINGS, ACK, 0, b""))
            if head[3] == HEADERS:
                stream = int.from_bytes(head[5:9], "big")
                writer.write(frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x08\x03413"))

    async with listening(serve) as port:
        yield f"127.0.0.1:{port}"


async def test_a_body_that_a_proxy_does_not_take_is_told_in_words(proxy: str) -> None:
    async with WireClient(proxy) as client:
        with pytest.raises(
            CallError, match=r"a proxy on the way answered HTTP 413: it takes no body as large"
        ) as caught:
            await client.status("a")

    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNKNOWN, "")
    assert "proxies.md" in str(caught.value)
