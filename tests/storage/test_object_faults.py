"""An object store that refuses, hangs, is gone or is not there: a clear reason, in time, without a secret."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from aiohttp import web
from obstore.exceptions import GenericError

from evergreen_storage import AlreadyExists, Conflict, SceneStore, Storage, StorageError, Unavailable, open_storage
from evergreen_storage.engines.buckets.errors import translated
from tests.storage.bodies import blocks, keys
from tests.storage.emulators import Bucket, Emulator
from tests.storage.proxy import CONDITIONS, Act, Proxy

KEY = "projects/p/s/videos/clip.mp4"


async def test_a_store_that_refuses_is_unavailable_with_its_reason_and_no_secret(
    bucket: Bucket, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    url, options = proxy.before(bucket)
    async with open_storage(url, **options) as storage:
        await storage.put(KEY, b"old")
        for status in (403, 503):
            proxy.act = lambda _, status=status: status
            with caplog.at_level(logging.DEBUG):
                faults = await failures(storage)
            for fault in faults:
                assert isinstance(fault, Unavailable)
                assert str(status) in str(fault)
                assert "secret" not in str(fault)
                assert "http:" not in str(fault)
                assert fault.__cause__ is None
        proxy.act = lambda _: "pass"
        assert (await storage.get(KEY, max_bytes=3))[0] == b"old"
    assert "secret" not in caplog.text


async def test_a_store_that_is_silent_or_gone_is_unavailable_in_time(bucket: Bucket, proxy: Proxy) -> None:
    url, options = proxy.before(bucket)
    async with open_storage(url, **{**options, "read_timeout": 0.5}) as storage, asyncio.timeout(60):
        for act in ("hang", "drop"):
            acts: Act = act  # type: ignore[assignment]  # one of its words
            proxy.act = lambda _, acts=acts: acts
            with pytest.raises(Unavailable):
                await storage.put(KEY, b"x")
            with pytest.raises(Unavailable):
                await storage.stat(KEY)


async def failures(storage: Storage) -> list[BaseException | None]:
    async def listed() -> None:
        await keys(storage)

    async def read() -> None:
        async for _ in storage.stream(KEY):
            pass

    results = await asyncio.gather(
        storage.put(KEY, b"x"),
        storage.put_stream(KEY, blocks(6), size=None),
        storage.get(KEY, max_bytes=1),
        storage.delete(KEY),
        listed(),
        read(),
        return_exceptions=True,
    )
    return [result if isinstance(result, BaseException) else None for result in results]


async def test_a_bucket_that_is_missing_is_named_at_the_start(bucket: Bucket) -> None:
    url = bucket.url.replace("bucket-", "missing-")

    with pytest.raises(StorageError, match="the bucket does not exist"):
        async with open_storage(url, **bucket.options):
            raise AssertionError("opened")


async def test_a_bucket_that_goes_away_is_not_taken_for_one_without_the_object(bucket: Bucket, proxy: Proxy) -> None:
    url, options = proxy.before(bucket)
    async with open_storage(url, **options) as storage:
        assert await storage.stat(KEY) is None
        proxy.act = lambda _: "elsewhere"

        # Azure signs the bucket's name, so it takes the question for a forged one.
        with pytest.raises(Unavailable, match=r"the bucket does not exist|access was denied"):
            await storage.stat(KEY)
        for fault in await failures(storage):
            assert isinstance(fault, Unavailable)


async def test_a_store_that_is_down_is_told_at_the_start(proxy: Proxy, bucket: Bucket) -> None:
    url, options = proxy.before(bucket)
    proxy.act = lambda _: "drop"

    with pytest.raises(Unavailable):
        async with open_storage(url, **options):
            raise AssertionError("opened")


async def test_a_long_upload_that_cannot_be_finished_is_aborted(bucket: Bucket, proxy: Proxy) -> None:
    def act(request: web.Request) -> Act:
        finishing = (request.method == "POST" and "uploadId" in request.query) or (
            request.method == "PUT" and request.query.get("comp") == "blocklist"
        )
        return 403 if finishing else "pass"

    url, options = proxy.before(bucket)
    async with open_storage(url, **options) as storage:
        proxy.act = act
        with pytest.raises(Unavailable):
            await storage.put_stream(KEY, blocks(12), size=None)
        with pytest.raises(Unavailable):
            await storage.put_stream(KEY, blocks(12), size=None, if_absent=True)

    assert bucket.listed() == []
    if not bucket.url.startswith("az"):
        assert bucket.uploads() == []


@pytest.mark.parametrize("status", [400, 405, 501])
@pytest.mark.parametrize("only", [*CONDITIONS, None])
async def test_a_store_that_knows_no_conditions_gets_a_lock(
    emulators: Callable[[str], Emulator], proxy: Proxy, status: int, only: str | None
) -> None:
    def act(request: web.Request) -> Act:
        names = CONDITIONS if only is None else (only,)
        return status if any(name in request.headers for name in names) else "pass"

    url, options = proxy.before(emulators("gs" if only == CONDITIONS[2] else "s3").bucket())
    proxy.act = act
    async with open_storage(url, **options) as storage:
        created = await storage.put(KEY, b"1", if_absent=True)
        with pytest.raises(AlreadyExists):
            await storage.put(KEY, b"2", if_absent=True)
        await storage.put(KEY, b"3", if_token=created.token)
        with pytest.raises(Conflict):
            await storage.put(KEY, b"4", if_token=created.token)
        await storage.delete(KEY)
        assert await keys(storage) == []


def _lists(request: web.Request) -> bool:
    return request.method == "GET" and any(name in request.query for name in ("list-type", "prefix", "comp"))


async def test_a_store_that_refuses_lists_is_told_at_the_start_and_the_right_is_named(
    bucket: Bucket, proxy: Proxy
) -> None:
    url, options = proxy.before(bucket)
    proxy.act = lambda request: 403 if _lists(request) else "pass"

    with pytest.raises(Unavailable, match="s3:ListBucket"):
        async with open_storage(url, **options):
            raise AssertionError("opened")
    proxy.act = lambda _: "pass"


async def test_a_store_that_refuses_lists_later_names_the_right_for_what_is_not_there(
    emulators: Callable[[str], Emulator], proxy: Proxy
) -> None:
    url, options = proxy.before(emulators("s3").bucket())
    async with open_storage(url, **options) as storage:
        proxy.act = lambda request: 403 if request.method in ("GET", "HEAD") else "pass"

        with pytest.raises(Unavailable, match="s3:ListBucket"):
            await SceneStore(storage, clock=lambda: datetime.now(UTC)).record_request("p", "s", "job-1")


@pytest.mark.parametrize(("method", "right"), [("PUT", "s3:PutObject"), ("DELETE", "s3:DeleteObject")])
async def test_a_right_that_is_missing_is_named_at_the_start(
    emulators: Callable[[str], Emulator], proxy: Proxy, method: str, right: str
) -> None:
    url, options = proxy.before(emulators("s3").bucket())
    proxy.act = lambda request: 403 if request.method == method else "pass"

    with pytest.raises(Unavailable, match=right):
        async with open_storage(url, **options):
            raise AssertionError("opened")


@pytest.mark.parametrize(
    "where",
    [
        "PUT http://169.254.169.254/latest/api/token in 1s - HTTP error: kind: ConnectionRefused",
        "GET http://169.254.170.2/v2/credentials in 2ms - Server returned non-2xx status code: 403 Forbidden",
        "GET http://metadata.google.internal/computeMetadata/v1/token in 1s - HTTP error: dns error",
        "POST https://sts.eu-central-1.amazonaws.com/ in 1s - status code: 400 Bad Request",
    ],
)
def test_what_gives_no_credentials_is_not_taken_for_the_storage(where: str) -> None:
    with pytest.raises(Unavailable, match="there are no usable credentials") as fault, translated(KEY, "written"):
        raise GenericError(f"Generic S3 error: Error performing {where}")

    assert "169.254" not in str(fault.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("error trying to connect: Os { code: 111, kind: ConnectionRefused }", "cannot be reached (ConnectionRefused)"),
        ("error sending request: operation timed out", "did not answer in time"),
        ("error trying to connect: dns error: no record found", "host name is not known"),
        ("failed to lookup address information: Name or service not known", "host name is not known"),
        ("invalid peer certificate: UnknownIssuer", "certificate is not trusted"),
        ("could not find a credential in the environment", "no usable credentials"),
        ("HTTP error: Kind: Connect, source: none", "the storage cannot be reached"),
        ("HTTP error: Kind: Request, retry_timeout: 60s", "the connection to the storage failed"),
    ],
)
def test_what_kept_a_request_from_its_store_is_told_without_the_librarys_own_text(text: str, said: str) -> None:
    with pytest.raises(Unavailable) as fault, translated(KEY, "written"):
        raise GenericError(f"Generic S3 error: secret-value {text}")

    assert said in str(fault.value)
    assert "secret-value" not in str(fault.value)


async def test_a_bucket_that_cannot_be_written_is_told_without_the_name_of_the_trial() -> None:
    nowhere = {
        "key": "key",
        "secret": "secret",
        "endpoint_url": "http://127.0.0.1:1",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }

    with pytest.raises(Unavailable) as fault:
        async with open_storage("s3://bucket", **nowhere):
            pass

    assert str(fault.value) == "nothing can be written there: the storage cannot be reached (ConnectionRefused)"
