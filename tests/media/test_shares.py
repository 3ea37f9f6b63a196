import asyncio
from dataclasses import replace
from pathlib import Path

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.ports.specs import Kind
from tests.media.web import Names, Web, response, silent

JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 2000


async def fetched(media: Media, uri: str, owner: str) -> int:
    async with media.fetch(uri, Kind.PICTURE, owner=owner) as body:
        return body.size


async def test_slow_servers_of_one_project_leave_places_for_another(
    limits: MediaLimits, names: Names, web: Web, tmp_path: Path
) -> None:
    reached, both = [0], asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        reached[0] += 1
        if reached[0] == 2:
            both.set()
        await silent(writer)

    web.routes |= {"/slow": slow, "/quick": response(JPEG)}
    base = f"http://pictures.internal:{web.port}"
    limits = replace(limits, fetches_at_once=4)
    async with Media(private_hosts={"pictures.internal"}, limits=limits, resolver=names, temp_dir=tmp_path) as media:
        async with asyncio.timeout(60):
            greedy = [asyncio.create_task(fetched(media, f"{base}/slow", "greedy")) for _ in range(20)]
            await both.wait()

            for _ in range(5):
                assert await fetched(media, f"{base}/quick", "honest") == len(JPEG)

            assert reached == [2]
            for task in greedy:
                task.cancel()
            await asyncio.gather(*greedy, return_exceptions=True)
