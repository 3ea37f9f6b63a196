"""Gateways with settings of their own, each before a server of its own, of which a process has one at a time."""

import json
from pathlib import Path

from tests.gateway.gateways import gateway, head, raw
from tests.gateway.test_door import CALL, STUDIO, post, seen
from tests.rpc.identities import TAKEN, certificate, logged
from tests.rpc.test_tls import Files
from tests.serving import open_sandbox

GUESS = "evg_" + "a" * 43


async def test_without_listed_proxies_nobody_is_believed(tmp_path: Path) -> None:
    async with open_sandbox() as sandbox, gateway(tmp_path / "data", sandbox) as api:
        answer = await post(api, "X-Forwarded-Host: 127.0.0.1", host="evil.example")
        https = await post(api, "X-Forwarded-Proto: https")
        unlisted = await raw(api.http, head("OPTIONS", CALL, f"Origin: {STUDIO}"))

    assert (answer.status, https.status, unlisted.status) == (421, 200, 403)
    assert "strict-transport-security" not in https.headers
    assert "access-control-allow-origin" not in unlisted.headers


async def test_the_certificate_and_the_clients_authority_are_replaced_while_it_runs(tmp_path: Path) -> None:
    old, new, friends, strangers = map(certificate, ("old", "new", "friends", "strangers"))
    files, pems = Files(tmp_path), {}
    for name, authority in (("friend", friends), ("stranger", strangers)):
        issued = certificate(name, authority)
        pems[name] = tmp_path / f"{name}.pem"
        pems[name].write_bytes(issued.key + issued.pem)
    files.show(certificate("server", old), [friends])
    async with (
        open_sandbox() as sandbox,
        gateway(tmp_path / "data", sandbox, **files.settings(mutual=True)) as api,
    ):
        assert api.http.startswith("https://")
        assert await seen(api.http, old, pems["friend"])
        assert not await seen(api.http, new, pems["friend"])
        assert not await seen(api.http, old, pems["stranger"])
        assert not await seen(api.http, old)

        async with logged(TAKEN):
            files.show(certificate("server", new), [strangers])

        assert await seen(api.http, new, pems["stranger"])
        assert not await seen(api.http, new, pems["friend"])
        assert not await seen(api.http, old, pems["stranger"])


async def test_without_tokens_there_is_nothing_to_log_in_to(tmp_path: Path) -> None:
    async with open_sandbox() as sandbox, gateway(tmp_path / "data", sandbox) as api:
        body = json.dumps({"token": GUESS}).encode()
        fields = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        answer = await raw(api.http, head("POST", "/session", *fields) + body)
        who = await raw(api.http, head("GET", "/session"))

    assert (answer.status, answer.cookies) == (200, [])
    assert json.loads(answer.body)["tokensRequired"] is False
    assert who.body == answer.body
