"""What a browser would run is kept, and never under a type by which it would."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.rpc.scene_server import SceneApi, scene_serving
from tests.rpc.scenes import scene_of, upload

PLAIN, UNKNOWN = "text/plain", "application/octet-stream"
HTML = b"<!doctype html><script>alert(document.cookie)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
XHTML = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>'
SCRIPT = b"alert(document.cookie)"

CASES = [
    *(
        (data, claimed, PLAIN)
        for data in (HTML, SVG, XHTML, SCRIPT)
        for claimed in (
            "text/html",
            "text/HTML",
            "TEXT/html; charset=utf-8",
            "application/xhtml+xml",
            "Application/XHTML+XML",
            "image/svg+xml",
            "image/SVG+xml",
            "text/xml",
            "application/xml",
            "application/atom+xml",
            "text/javascript",
            "application/javascript",
            "application/x-javascript",
            "text/ecmascript",
            "text/jscript",
            "multipart/x-mixed-replace",
            "message/rfc822",
            "application/hta",
            "",
        )
    ),
    # Behind a byte that no text holds nothing is known of it.
    *(
        (b"\0" + HTML, claimed, UNKNOWN)
        for claimed in ("text/html", "TEXT/HTML", "application/xhtml+xml", "image/svg+xml", "text/javascript", "text/x")
    ),
    (HTML.decode().encode("utf-16"), "text/html; charset=utf-16", UNKNOWN),
    (b" " * 5000 + HTML, "text/html", UNKNOWN),
    (b"\xef\xbb\xbf" + HTML, "text/html", PLAIN),
    (b"<!-- " + b"x" * 5000 + b"-->" + HTML, "application/xhtml+xml", PLAIN),
    # What is no such thing keeps its type.
    (b'{"a": 1}', "application/json", "application/json"),
    (b'{"a": 1}', "application/otio+json", "application/otio+json"),
    (b"WEBVTT", "text/vtt", "text/vtt"),
    (b"# Heading", "text/markdown; charset=utf-8", "text/markdown; charset=utf-8"),
    (b"\0\1\2", "application/x-premiere", "application/x-premiere"),
]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SceneApi]:
    async with scene_serving(tmp_path_factory.mktemp("types") / "data") as opened:
        yield opened


@pytest.mark.parametrize(("data", "claimed", "kept"), CASES)
async def test_no_file_keeps_a_type_that_a_browser_runs(api: SceneApi, data: bytes, claimed: str, kept: str) -> None:
    for name in ("exports/page.html", "images/page.svg"):
        asset = await upload(api, data, path=name, content_type=claimed, overwrite=True)

        assert asset.content_type == kept
        told = [asset for folder in (await scene_of(api)).folders for asset in folder.assets if asset.path == name]
        assert [asset.content_type for asset in told] == [kept]
