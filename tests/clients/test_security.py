"""TLS, mutual TLS and tokens: what the service learns of its caller, and what the client refuses to send."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from evergreen import PermissionDenied, Reconnect, Tls, Unauthenticated, Unavailable, WireClient
from evergreen.v1.video_pb2 import GetStatusResponse
from tests.clients.node import run_node
from tests.clients.scripted import Fault, ScriptedService, event, job

ANSWER = GetStatusResponse(job=job())


@dataclass(frozen=True)
class Identity:
    """A certificate that signed itself, in PEM."""

    certificate: bytes
    key: bytes


def identity(name: str) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))] if name == "server" else [x509.DNSName(name)]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


SERVER, CALLER = identity("server"), identity("caller")


@pytest.fixture
async def secured() -> AsyncIterator[ScriptedService]:
    """A service that talks to those alone who bear the caller's certificate."""
    credentials = grpc.ssl_server_credentials(
        [(SERVER.key, SERVER.certificate)], root_certificates=CALLER.certificate, require_client_auth=True
    )
    async with ScriptedService(credentials=credentials) as service:
        yield service


async def test_both_sides_prove_who_they_are_and_the_token_goes_with_every_call(
    secured: ScriptedService, tmp_path: Path
) -> None:
    for name, pem in (("root", SERVER.certificate), ("chain", CALLER.certificate), ("key", CALLER.key)):
        (tmp_path / name).write_bytes(pem)
    tls = Tls.from_files(
        root_certificates=tmp_path / "root", certificate_chain=tmp_path / "chain", private_key=tmp_path / "key"
    )
    secured.answers["GetStatus"] = [ANSWER]
    secured.streams = [[event(1, state="SUCCEEDED")]]

    async with WireClient(secured.target, tls=tls, token="s3cret") as client:
        assert (await client.status("job-1")).job_id == "job-1"
        assert (await asyncio.wait_for(client.wait("job-1"), 60)).revision == 1

    assert secured.callers == ["Bearer s3cret"] * 2


async def test_from_node_too_both_sides_prove_who_they_are(secured: ScriptedService, tmp_path: Path) -> None:
    for name, pem in (("root", SERVER.certificate), ("chain", CALLER.certificate), ("key", CALLER.key)):
        (tmp_path / name).write_bytes(pem)
    secured.answers["GetStatus"] = [ANSWER]
    secured.streams = [[event(1, state="SUCCEEDED")]]

    told = await asyncio.wait_for(run_node("secure.js", secured.target, str(tmp_path), "s3cret"), 60)

    assert told.split() == ["Unavailable", "job-1", "1n"]
    assert secured.callers == ["Bearer s3cret"] * 2


@pytest.mark.parametrize(
    "tls",
    [
        Tls(root_certificates=SERVER.certificate),
        Tls(root_certificates=CALLER.certificate, certificate_chain=CALLER.certificate, private_key=CALLER.key),
        Tls(),
        None,
    ],
    ids=["without a certificate", "another root", "the usual roots", "plaintext"],
)
async def test_whoever_is_not_trusted_gets_no_answer(secured: ScriptedService, tls: Tls | None) -> None:
    secured.answers["GetStatus"] = [ANSWER]

    async with WireClient(secured.target, tls=tls, timeout=60, options=[("grpc.enable_retries", 0)]) as client:
        with pytest.raises(Unavailable):
            await client.status("job-1")

    assert secured.requests["GetStatus"] == []


async def test_the_servers_name_may_be_another_than_the_targets(secured: ScriptedService) -> None:
    secured.answers["GetStatus"] = [ANSWER]
    mine = {"certificate_chain": CALLER.certificate, "private_key": CALLER.key}
    target = secured.target.replace("127.0.0.1", "localhost")

    async with WireClient(
        target, tls=Tls(root_certificates=SERVER.certificate, server_name="server", **mine), timeout=60
    ) as client:
        assert (await client.status("job-1")).job_id == "job-1"


async def test_grpcs_own_credentials_will_do(secured: ScriptedService) -> None:
    secured.answers["GetStatus"] = [ANSWER]
    credentials = grpc.ssl_channel_credentials(SERVER.certificate, CALLER.key, CALLER.certificate)

    async with WireClient(secured.target, tls=credentials, token="t") as client:
        await client.status("job-1")

    assert secured.callers == ["Bearer t"]


async def test_a_renewed_token_is_asked_for_before_each_call(service: ScriptedService) -> None:
    service.answers["GetStatus"] = [ANSWER, ANSWER]
    service.streams = [[event(1)], [event(2, state="SUCCEEDED")]]
    tokens = iter(["one", "two", "three", "four"])
    reconnect = Reconnect(first_delay=0.01)

    async with WireClient(service.target, token=lambda: next(tokens), reconnect=reconnect) as client:
        await client.status("job-1")
        await client.status("job-1")
        await asyncio.wait_for(client.wait("job-1"), 60)

    assert service.callers == [f"Bearer {token}" for token in ("one", "two", "three", "four")]


async def test_without_a_token_nothing_is_said_of_the_caller(service: ScriptedService, client: WireClient) -> None:
    service.answers["GetStatus"] = [ANSWER]

    await client.status("job-1")

    assert service.callers == []


@pytest.mark.parametrize(
    "target",
    ["video.example:50051", "10.0.0.7:50051", "dns:///video.example:443", "ipv4:127.0.0.1:1,10.0.0.7:1", "[fd00::1]:1"],
)
def test_a_token_is_not_sent_for_all_to_read(target: str) -> None:
    with pytest.raises(ValueError, match="without TLS") as caught:
        WireClient(target, token="s3cret")

    assert "s3cret" not in str(caught.value)
    WireClient(target, token="s3cret", insecure=True)
    WireClient(target, token="s3cret", tls=Tls())
    WireClient(target)


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:50051", "localhost:1", "[::1]:50051", "dns:///localhost:1", "ipv6:[::1]:1", "unix:///run/evergreen"],
)
def test_this_machine_may_have_a_token_without_tls(target: str) -> None:
    WireClient(target, token="s3cret")


@pytest.mark.parametrize("token", ["", "two words", "new\nline", "naïve"])
def test_what_cannot_be_a_token_is_refused_without_telling_it(token: str) -> None:
    with pytest.raises(ValueError, match="a token is visible ASCII") as caught:
        WireClient(token=token)

    assert not token or token not in str(caught.value)


def test_a_certificate_needs_its_key_and_a_key_is_not_shown() -> None:
    with pytest.raises(ValueError, match="give both"):
        Tls(certificate_chain=CALLER.certificate)
    shown = repr(Tls(certificate_chain=CALLER.certificate, private_key=CALLER.key))
    assert "PRIVATE" not in shown


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, PermissionDenied),
    ],
)
async def test_a_refused_caller_is_told_so_and_a_watch_is_not_repeated(
    service: ScriptedService, client: WireClient, code: grpc.StatusCode, error: type[Exception]
) -> None:
    service.answers["GetStatus"] = [Fault(code=code)]
    service.streams = [[Fault(code=code)]]

    with pytest.raises(error):
        await client.status("job-1")
    with pytest.raises(error):
        await asyncio.wait_for(client.wait("job-1"), 60)
    assert len(service.watches) == 1


@pytest.mark.parametrize(
    "target",
    [
        *("", "127.0.0.1", "localhost", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:99999", "host:abc", ":50051"),
        *("http://127.0.0.1:50051", "https://host:443", "http:50051/", "host:50051/path", "::1:50051", "[]:50051"),
        *("unix:", "dns:///", f"host:{'9' * 5000}", "host:٣"),
    ],
)
def test_what_is_no_address_of_a_service_is_said_in_one_sentence(target: str) -> None:
    with pytest.raises(ValueError, match="must be HOST:PORT, such as"):
        WireClient(target)


@pytest.mark.parametrize(
    "target",
    [
        *("127.0.0.1:50051", "localhost:1", "evergreen.example:65535", "[::1]:50051", "unix:/run/evergreen"),
        *(
            "unix:///run/evergreen",
            "dns:///evergreen:50051",
            "dns://8.8.8.8/evergreen:50051",
            "ipv4:10.0.0.1:1,10.0.0.2:1",
        ),
        *("ipv6:[::1]:50051", "xds:///evergreen", "unix-abstract:evergreen"),
    ],
)
def test_every_way_to_name_a_service_is_taken(target: str) -> None:
    WireClient(target)
