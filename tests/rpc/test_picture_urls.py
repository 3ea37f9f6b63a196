"""URLs that must not be fetched: refused with the request, or by a job with a reason, and no connection is made."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evergreen.v1 import video_pb2
from tests.media.web import Names, Web, response
from tests.rpc.refusals import assert_nothing_left, invalid
from tests.serving import SAMPLES, Api, Control, request, serving

ALLOWED = "pictures.internal"
FULL_WIDTH = "".join(chr(ord(one) + 0xFEE0) if one.isdigit() else one for one in "127.0.0.1")


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """The host that the operator allows."""
    async with Web() as opened:
        yield opened


@pytest.fixture
async def private() -> AsyncIterator[Web]:
    """A neighbour on the private network, who has what nobody may see."""
    async with Web() as opened:
        yield opened


@pytest.fixture
def names() -> Names:
    names = Names()
    names.add(ALLOWED, ["127.0.0.1"])
    return names


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control, web: Web, names: Names) -> AsyncIterator[Api]:
    hosts = f"{ALLOWED}:{web.port}"
    async with serving(tmp_path / "data", sandbox.url, resolver=names, EVERGREEN_PICTURE_HOSTS=hosts) as opened:
        yield opened


def picture(uri: str) -> video_pb2.Media:
    return video_pb2.Media(uri=uri, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)


async def failed(api: Api, *uris: str) -> dict[str, video_pb2.Job]:
    """Asks for a clip from each URL and gives the jobs, which must all fail, by URL."""
    jobs = [await api.generate(media=[picture(uri)]) for uri in uris]
    ended = await asyncio.gather(*(api.finished(job.job_id) for job in jobs))
    for uri, job in zip(uris, ended, strict=True):
        assert job.state == video_pb2.JOB_STATE_FAILED, uri
        assert job.charged_credits == 0
        assert job.cost_basis == video_pb2.COST_BASIS_CONFIRMED
    return dict(zip(uris, ended, strict=True))


async def test_an_address_that_is_not_public_is_refused_in_every_spelling_without_a_connection(
    api: Api, sandbox: Control, private: Web, tmp_path: Path
) -> None:
    hosts = (
        "127.0.0.1", "127.1", "127.000.000.001", "2130706433", "0x7f.0.0.1", "0x7f000001", "0177.0.0.1", "0.0.0.0",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "localhost", "LOCALHOST.", "a.localhost", FULL_WIDTH, "127.0.0.1.", "%31%32%37.0.0.1",
        "user@127.0.0.1", "example.com@127.0.0.1",
        "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255",
        "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[2002:7f00:1::]", "[fd00:ec2::254]",
    )  # fmt: skip
    for host in hosts:
        for scheme in ("http", "https"):
            uri = f"{scheme}://{host}:{private.port}/latest/meta-data"
            faults = await invalid(api.video.GenerateVideo(request(media=[picture(uri)])))
            assert set(faults) == {"media[0].uri"}, uri
            # For its host, that is, and not for the port, which is no usual one.
            assert "port must be" not in faults["media[0].uri"], uri

    assert await private.was_untouched()
    await assert_nothing_left(api, sandbox, tmp_path / "data")


async def test_a_url_that_is_no_web_address_is_refused_without_a_connection(
    api: Api, sandbox: Control, private: Web, tmp_path: Path
) -> None:
    uris = (
        "file:///etc/passwd", "FILE:///etc/passwd", "file://localhost/etc/passwd", "/etc/passwd", "etc/passwd", "",
        f"ftp://127.0.0.1:{private.port}/a.png", f"gopher://127.0.0.1:{private.port}/_GET",
        f"//127.0.0.1:{private.port}/", f"127.0.0.1:{private.port}/a.png",
        "data:image/png;base64,iVBORw0KGgo=", "runway://0123456789abcdef", "javascript:alert(1)", "s3://bucket/a.png",
        "http://", "https:///a.png", "http://[::1", "http://example.com:99999/", "http://example.com:22/",
        f"http://example.com\\@127.0.0.1:{private.port}/", "http://exa mple.com/", "http://example.com/\r\nHost: x",
        f"https://{'a' * 64}.com/a.png", f"https://example.com/{'a' * 2048}", "https://-.com/",
    )  # fmt: skip
    for uri in uris:
        faults = await invalid(api.video.GenerateVideo(request(media=[picture(uri)])))
        assert set(faults) == {"media[0].uri"}, uri

    assert await private.was_untouched()
    await assert_nothing_left(api, sandbox, tmp_path / "data")


async def test_a_name_with_a_private_address_fails_the_job_without_a_connection(
    api: Api, sandbox: Control, names: Names, web: Web, tmp_path: Path
) -> None:
    uris = []
    for number, addresses in enumerate(
        (["127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], ["93.184.216.34", "10.0.0.1"], ["::1"], ["fd00::1"])
    ):
        names.add(f"host-{number}.example", addresses)
        uris.append(f"https://host-{number}.example/a.png?signature=secret")

    jobs = await failed(api, *uris)

    for uri, job in jobs.items():
        assert job.error.reason == "MEDIA_REFUSED"
        assert "example is not at a public address" in job.error.message
        assert not job.error.retryable
        assert not job.warnings, uri
        assert "secret" not in job.error.message
    assert web.connections == 0
    await assert_nothing_left(api, sandbox, tmp_path / "data", jobs=[job.job_id for job in jobs.values()])


async def test_a_redirect_to_a_private_address_fails_the_job_without_a_connection(
    api: Api, sandbox: Control, names: Names, web: Web, private: Web, tmp_path: Path
) -> None:
    names.add("rebound.example", ["127.0.0.1"])
    locations = (
        f"http://127.0.0.1:{private.port}/a.png",
        f"//127.0.0.1:{private.port}/a.png",
        f"http://[::ffff:127.0.0.1]:{private.port}/a.png",
        f"http://2130706433:{private.port}/a.png",
        f"http://localhost:{private.port}/a.png",
        f"http://{ALLOWED}:{private.port}/a.png",
        "http://169.254.169.254/latest/meta-data",
        "http://rebound.example/a.png",
        "https://rebound.example/a.png",
        "file:///etc/passwd",
        f"ftp://127.0.0.1:{private.port}/a.png",
    )
    uris = []
    for number, location in enumerate(locations):
        web.routes[f"/{number}"] = response(b"", status=302, location=location)
        uris.append(f"http://{ALLOWED}:{web.port}/{number}")

    jobs = await failed(api, *uris)

    for location, job in zip(locations, jobs.values(), strict=True):
        assert job.error.reason == "MEDIA_REFUSED", location
        assert "redirects to a refused URL" in job.error.message or "public address" in job.error.message
    assert len(web.requests) == len(locations)
    assert await private.was_untouched()
    await assert_nothing_left(api, sandbox, tmp_path / "data", jobs=[job.job_id for job in jobs.values()])


async def test_an_allowed_name_that_comes_to_mean_another_host_is_only_as_free_as_its_name(
    api: Api, sandbox: Control, names: Names, web: Web, private: Web, tmp_path: Path
) -> None:
    """Allowed is the name with its port; a redirect to the same address under another name is not."""
    names.add("alias.example", ["127.0.0.1"])
    web.routes["/own"] = response((SAMPLES / "rocket.jpg").read_bytes())
    web.routes["/on"] = response(b"", status=302, location=f"http://{ALLOWED}:{web.port}/own")
    web.routes["/away"] = response(b"", status=302, location=f"http://alias.example:{web.port}/own")

    good = await api.generate(media=[picture(f"http://{ALLOWED}:{web.port}/on")])
    await api.finished(good.job_id)
    (bad,) = (await failed(api, f"http://{ALLOWED}:{web.port}/away")).values()

    assert (await api.status(good.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED
    assert bad.error.reason == "MEDIA_REFUSED"
    assert [head.split()[1] for head in web.requests] == ["/on", "/own", "/away"]
    assert len(await sandbox.tasks()) == 1


async def test_a_public_url_that_cannot_be_fetched_here_is_passed_on_with_a_warning(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    """Longer than a name can be, it fails at every resolver, the provider's too, without a question to the network."""
    host = ".".join(["pictures"] * 40) + ".example"

    (job,) = (await failed(api, f"https://{host}/rocket.jpg?signature=secret")).values()

    assert [warning.code for warning in job.warnings] == ["URI_PASSED_ON"]
    assert "does not resolve" in job.warnings[0].message
    assert job.error.reason == "PROVIDER_REFUSED"
    assert "media[0]" in job.error.message
    assert "Failed to fetch asset" in job.error.message
    assert "secret" not in job.error.message + job.warnings[0].message
    assert len(await sandbox.calls(operation="image_to_video")) == 1
    assert await sandbox.tasks() == []
    assert list((tmp_path / "data" / "projects" / "film" / "scene-1" / "images").iterdir()) == []


async def test_what_the_provider_could_not_fetch_either_is_not_passed_on(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    jobs = await failed(api, "http://nowhere.example/a.jpg", "https://nowhere/a.jpg", "https://nowhere.local/a.jpg")

    for job in jobs.values():
        assert (job.error.reason, job.error.retryable) == ("MEDIA_UNREACHABLE", True)
        assert "does not resolve" in job.error.message
        assert not job.warnings
    assert await sandbox.calls(operation="image_to_video") == []
    await assert_nothing_left(api, sandbox, tmp_path / "data", jobs=[job.job_id for job in jobs.values()])
