"""The dashboard's page and files, as a browser gets them."""

import re
from pathlib import Path

import aiohttp
import pytest

from tests.gateway.gateways import gateway, head, raw
from tests.serving import Control


async def test_the_page_is_asked_for_anew_and_its_files_are_kept(tmp_path: Path, sandbox: Control) -> None:
    async with gateway(tmp_path / "data", sandbox) as api, aiohttp.ClientSession(api.http) as session:
        async with session.get("/") as page:
            text, tag = await page.text(), page.headers["ETag"]
        # As proxies that compress give it back, too.
        for given in (tag, f"W/{tag}", f'"x", W/{tag}', "*"):
            async with session.get("/", headers={"If-None-Match": given}) as again:
                assert again.status == 304, given
        named = re.findall(r'"(/static/[^"]+)"', text)
        files = []
        for path in named:
            async with session.get(path) as file:
                files.append((file.status, file.content_type, file.headers["Cache-Control"]))

    assert page.status == 200
    assert page.content_type == "text/html"
    assert page.headers["Cache-Control"] == "no-cache"
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    # All that the page says of scripts and styles is in files.
    assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)| on\w+=", text)
    assert {kind for _, kind, _ in files} == {"text/javascript", "text/css", "image/svg+xml"}
    assert {status for status, _, _ in files} == {200}
    assert all("immutable" in kept for _, _, kept in files)


@pytest.mark.parametrize(
    "path",
    ["/static/index.html", "/static/openapi.json", "/static/", "/static/..%2fpages.py", "/static/none-AAAAAAAA.js"],
)
async def test_nothing_else_of_the_package_is_served(tmp_path: Path, sandbox: Control, path: str) -> None:
    async with gateway(tmp_path / "data", sandbox) as api:
        answer = await raw(api.http, head("GET", path, "Connection: close"))

    assert answer.status == 404
