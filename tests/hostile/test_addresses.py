"""Addresses to listen on, as people write them and as they should not."""

import aiohttp
import pytest
from click.testing import CliRunner

from evergreen_server.__main__ import sandbox as command
from evergreen_server.providers.runway.sandbox import Sandbox
from evergreen_server.runtime.addresses import listen_address, listen_parts

ADDRESSES = [
    ("127.0.0.1:50051", ("127.0.0.1", 50051)),
    ("localhost:0", ("localhost", 0)),
    ("localhost", ("localhost", 7)),
    ("[::1]:0", ("::1", 0)),
    ("[::1]", ("::1", 7)),
    ("0.0.0.0:1", ("0.0.0.0", 1)),
    ("my-host.example:65535", ("my-host.example", 65535)),
    *((wrong, None) for wrong in (
        "", ":", ":50051", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:x", "::1:50051", "::1", "[::1",
        "[127.0.0.1]:1", "[localhost]:1", "localhost:\u0663", "localhost :1", "unix:/tmp/x:1", "dns:///a:1", "*:1",
        "a b:1", "127.0.0.1:" + "9" * 5000, "127.1:1", "2130706433:1", "999.0.0.1:1", "a\0b:1", "7", "50051",
        "nonsense", "a" * 300 + ":1", "user@host:1", "http://localhost:1", "localhost:1/",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("text", "parts"), ADDRESSES)
def test_an_address_is_read_or_refused_in_one_sentence(text: str, parts: tuple[str, int] | None) -> None:
    if parts is None:
        with pytest.raises(ValueError, match="must be HOST:PORT") as raised:
            listen_parts(text, port=7)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 400
        return

    assert listen_parts(text, port=7) == parts
    assert listen_parts(listen_address(text, port=7)) == parts


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.1"])
async def test_the_sandbox_listens_where_it_is_told(host: str) -> None:
    async with Sandbox(host=host) as sandbox, aiohttp.request("GET", sandbox.url + "/sandbox/clock") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "options",
    [
        ["--listen", "127.0.0.1:99999"],
        ["--listen", "nonsense"],
        ["--listen", "no-such-host.invalid:0"],
        ["--speed", "nan"],
        ["--speed", "1e300"],
        ["--render-scale", "nan"],
    ],
)
def test_the_command_refuses_in_one_sentence(options: list[str]) -> None:
    ended = CliRunner().invoke(command, options)

    assert ended.exit_code in (1, 2)
    assert "Traceback" not in ended.output
    assert len(ended.output.strip().splitlines()[-1]) < 400
