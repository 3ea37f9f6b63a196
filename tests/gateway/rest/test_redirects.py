"""Files that a browser is sent to the bucket for."""

import json
from pathlib import Path

import aiohttp

from tests.gateway.gateways import gateway
from tests.serving import Control
from tests.storage.emulators import S3Emulator

PATH = "/api/v1/projects/film/scenes/files/assets/images/hero.png"
DATA = b"\x89PNG\r\n\x1a\n" + bytes(1000)


async def test_a_file_is_fetched_from_the_bucket_itself(tmp_path: Path, sandbox: Control) -> None:
    with S3Emulator.start(tmp_path) as emulator:
        bucket = emulator.bucket()
        storage = {
            "EVERGREEN_STORAGE_URL": bucket.url,
            "EVERGREEN_STORAGE_OPTIONS": json.dumps(dict(bucket.options)),
        }
        async with (
            gateway(tmp_path / "data", sandbox, **storage) as api,
            aiohttp.ClientSession(api.http) as http,
        ):
            assert (await http.put(PATH, data=DATA)).status == 201

            told = await http.get(f"{PATH}?redirect=1", allow_redirects=False)
            missing = await http.get(f"{PATH}x?redirect=1", allow_redirects=False)
            odd = [
                await http.get(f"{PATH}?{query}")
                for query in ("redirect=2", "redirect=1&w=160", "redirect=1&redirect=1")
            ]
            async with http.get(told.headers["Location"]) as answer:
                data = await answer.read()

    assert (told.status, told.headers["Cache-Control"], await told.read()) == (302, "no-store", b"")
    assert not told.headers["Location"].startswith(api.http)
    assert data == DATA
    assert missing.status == 404
    assert [answer.status for answer in odd] == [400, 400, 400]


async def test_a_disk_says_that_it_cannot_sign(tmp_path: Path, sandbox: Control) -> None:
    async with gateway(tmp_path / "data", sandbox) as api, aiohttp.ClientSession(api.http) as http:
        assert (await http.put(PATH, data=DATA)).status == 201

        answer = await http.get(f"{PATH}?redirect=1", allow_redirects=False)
        problem = await answer.json()

    assert (answer.status, problem["reason"]) == (400, "URL_UNSUPPORTED")
