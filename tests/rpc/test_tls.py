"""TLS and mutual TLS, with certificates that are replaced while the server runs."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import video_pb2, video_pb2_grpc
from evergreen_server.runtime.reload import FileUnusable
from tests.rpc.identities import REFUSED, TAKEN, Certificate, certificate, logged
from tests.serving import Control, serving


class Files:
    """The server's certificate files."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key, self.ca = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"

    def show(self, shown: Certificate, authorities: Iterable[Certificate] = ()) -> None:
        """Replaces the key, then the certificate, as a tool that renews them does."""
        for path, data in (
            (self.ca, b"".join(each.pem for each in authorities)),
            (self.key, shown.key),
            (self.cert, shown.pem),
        ):
            fresh = path.with_suffix(".fresh")
            fresh.write_bytes(data)
            fresh.chmod(0o600)
            fresh.replace(path)

    def settings(self, *, mutual: bool = False) -> dict[str, str]:
        both = {"EVERGREEN_TLS_CERT": str(self.cert), "EVERGREEN_TLS_KEY": str(self.key)}
        return {**both, "EVERGREEN_TLS_CLIENT_CA": str(self.ca)} if mutual else both


@asynccontextmanager
async def connected(
    address: str, authority: Certificate, client: Certificate | None = None
) -> AsyncIterator[video_pb2_grpc.VideoServiceStub]:
    credentials = grpc.ssl_channel_credentials(
        authority.pem, client.key if client else None, client.pem if client else None
    )
    # A connection of its own, where channels to the same address share one by default.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        yield video_pb2_grpc.VideoServiceStub(channel)


async def answers(address: str, authority: Certificate, client: Certificate | None = None) -> bool:
    async with connected(address, authority, client) as video:
        try:
            return bool((await video.ListModels(video_pb2.ListModelsRequest(), timeout=60)).models)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False


async def test_a_certificate_is_replaced_while_the_server_runs(tmp_path: Path, sandbox: Control) -> None:
    old, new = certificate("old authority"), certificate("new authority")
    files = Files(tmp_path)
    first, second = certificate("server", old), certificate("server", new)
    files.show(first)
    async with serving(tmp_path / "data", sandbox.url, **files.settings()) as api:
        assert await answers(api.address, old)
        assert not await answers(api.address, new)
        with pytest.raises(grpc.aio.AioRpcError):
            await api.video.ListModels(video_pb2.ListModelsRequest(), timeout=5)
        async with connected(api.address, old) as open_before:
            await open_before.ListModels(video_pb2.ListModelsRequest())

            async with logged(TAKEN):
                files.show(second)

            assert await answers(api.address, new)
            assert not await answers(api.address, old)
            await open_before.ListModels(video_pb2.ListModelsRequest())
        async with logged(REFUSED):
            files.cert.write_bytes(first.pem)
        assert await answers(api.address, new)


async def test_mutual_tls_lets_in_who_has_a_certificate_of_the_authority(tmp_path: Path, sandbox: Control) -> None:
    ours, clients, strangers = certificate("ours"), certificate("clients"), certificate("strangers")
    friend, stranger = certificate("friend", clients), certificate("stranger", strangers)
    files = Files(tmp_path)
    files.show(certificate("server", ours), [clients])
    async with serving(tmp_path / "data", sandbox.url, **files.settings(mutual=True)) as api:
        assert await answers(api.address, ours, friend)
        assert not await answers(api.address, ours, stranger)
        assert not await answers(api.address, ours)

        async with logged(TAKEN):
            files.show(certificate("server", ours), [strangers])

        assert await answers(api.address, ours, stranger)
        assert not await answers(api.address, ours, friend)


async def test_files_that_do_not_fit_together_are_refused_at_the_start_and_not_repeated(
    tmp_path: Path, sandbox: Control
) -> None:
    authority = certificate("authority")
    one, other = certificate("server", authority), certificate("server", authority)
    files = Files(tmp_path)
    files.show(one)
    files.key.write_bytes(other.key)

    with pytest.raises(ExceptionGroup) as caught:
        async with serving(tmp_path / "data", sandbox.url, **files.settings()):
            raise AssertionError("it started")

    (error,) = caught.value.exceptions
    assert isinstance(error, FileUnusable)
    assert "the key is not that of the certificate" in str(error)
    assert other.key.decode().splitlines()[1] not in str(error)
