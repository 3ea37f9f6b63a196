"""How a storage is chosen and configured: URLs, options, variables, and what is said where they are wrong."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from evergreen_storage import Json, Unsupported, open_storage
from evergreen_storage.engines.buckets.bucket import is_confidential
from tests.storage.emulators import ACCOUNT, ACCOUNT_KEY, Bucket, Emulator
from tests.storage.proxy import Proxy

SECRET = "hunter2-secret"

WITHOUT_PACKAGE = """
import asyncio, os, sys
from evergreen_storage import Unsupported, open_storage

class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name == sys.argv[2]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Finder)

async def main(url):
    try:
        async with open_storage(url, environ=os.environ):
            pass
    except Unsupported as fault:
        print(fault)

asyncio.run(main(sys.argv[1]))
"""


async def refusal(url: str, options: Mapping[str, Json], environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(Unsupported) as fault:
        async with open_storage(url, environ=environ, **options):
            raise AssertionError("opened")
    assert SECRET not in str(fault.value)
    return str(fault.value)


async def works(url: str, environ: Mapping[str, str] | None = None, **options: Json) -> bool:
    async with open_storage(url, environ=environ, **options) as storage:
        await storage.put("a", b"1")
        return (await storage.get("a", max_bytes=1))[0] == b"1"


async def test_options_may_stand_in_the_query(bucket: Bucket) -> None:
    assert await works(f"{bucket.url}?{urlencode(bucket.options)}")


async def test_an_option_wins_over_the_query_and_the_query_over_the_environment(
    emulators: Callable[[str], Emulator],
) -> None:
    bucket = emulators("s3").bucket()
    nowhere = "http://127.0.0.1:1"
    endpoint = bucket.options["endpoint_url"]
    keys = {"key": "k", "secret": SECRET}

    assert await works(f"{bucket.url}?endpoint_url={nowhere}", endpoint_url=endpoint, **keys)
    assert await works(f"{bucket.url}?endpoint_url={endpoint}", {"AWS_ENDPOINT_URL": nowhere}, **keys)


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
async def test_the_vendors_own_variables_are_enough(kind: str, emulators: Callable[[str], Emulator]) -> None:
    bucket = emulators(kind).bucket()
    options = bucket.options
    environ = {
        "s3": {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SECRET,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": options["endpoint_url"],
        },
        "gs": {
            "GOOGLE_APPLICATION_CREDENTIALS": options.get("token", ""),
            "STORAGE_EMULATOR_HOST": options["endpoint_url"].removeprefix("http://"),
        },
        "az": {
            "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};"
            f"AccountKey={ACCOUNT_KEY};BlobEndpoint={options['endpoint_url']};"
        },
    }[kind]

    assert await works(bucket.url, environ)


@pytest.mark.parametrize("alias", ["s3a", "gcs", "abfs", "abfss"])
async def test_a_scheme_may_have_other_names(alias: str, emulators: Callable[[str], Emulator]) -> None:
    kind = {"s3a": "s3", "gcs": "gs"}.get(alias, "az")
    bucket = emulators(kind).bucket()

    assert await works(f"{alias}{bucket.url.removeprefix(kind)}", **bucket.options)


async def test_fsspecs_nested_options_are_understood(emulators: Callable[[str], Emulator]) -> None:
    bucket = emulators("s3").bucket()

    assert await works(
        bucket.url,
        key="k",
        secret=SECRET,
        client_kwargs={"endpoint_url": bucket.options["endpoint_url"], "region_name": "eu-west-1"},
        config_kwargs={"read_timeout": 5, "s3": {"addressing_style": "path"}},
        use_ssl=False,
    )


async def test_a_google_token_may_be_the_credentials_themselves(emulators: Callable[[str], Emulator]) -> None:
    bucket = emulators("gs").bucket()

    assert await works(bucket.url, endpoint_url=bucket.options["endpoint_url"], token="anon")
    text = await refusal(bucket.url, {"endpoint_url": bucket.options["endpoint_url"], "token": {"type": SECRET}})
    assert "value that cannot be used" in text


async def test_what_is_not_signed_with_is_not_asked_to_sign(emulators: Callable[[str], Emulator]) -> None:
    bucket = emulators("gs").bucket()
    async with open_storage(bucket.url, endpoint_url=bucket.options["endpoint_url"], anon=True) as storage:
        await storage.put("a", b"1")

        assert await storage.sign("a", ttl=timedelta(minutes=1)) is None


@pytest.mark.parametrize("url", ["s3://bucket", "gs://bucket", "az://bucket"])
async def test_unknown_and_wrong_options_are_named_all_at_once(url: str) -> None:
    text = await refusal(url, {"endpoint": SECRET, "colour": SECRET, "read_timeout": SECRET, "anon": SECRET})

    assert "endpoint is not supported" in text
    assert "colour is not supported" in text
    assert "read_timeout must be a number above 0" in text
    assert "anon must be true or false" in text
    assert "endpoint_url" in text


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("s3://b/p", {"client_kwargs": {"proxy": SECRET}}, "client_kwargs.proxy is not supported"),
        ("s3://b/p", {"client_kwargs": SECRET}, "client_kwargs must hold options of its own"),
        ("s3://b/p", {"key": SECRET}, "both parts of the credentials"),
        ("s3://b/p", {"key": SECRET, "secret": SECRET, "use_ssl": "no"}, "without TLS needs an endpoint_url"),
        ("s3://b/p", {"config_kwargs": {"s3": {"addressing_style": SECRET}}}, "addressing_style must be one of"),
        ("s3://b/p", {"config_kwargs": {"retries": {"max_attempts": SECRET}}}, "max_attempts must be a whole number"),
        ("gs://b/p", {"retries": -1}, "retries must be a whole number"),
        ("gs://b/p", {"token": ["a", SECRET]}, "token must be anon, the path of a JSON file"),
        ("s3://b/p", {"key": "", "secret": SECRET}, "key must be a text"),
        ("s3://b/p?secret=" + SECRET + "&nope=1", {}, "nope is not supported"),
        ("s3://", {}, "must be s3://BUCKET"),
        ("s3://b/../x", {}, "must be s3://BUCKET"),
        (f"s3://key:{SECRET}@bucket/prefix", {}, "must not hold credentials"),
        (f"az://key:{SECRET}@bucket/prefix", {}, "must not hold credentials"),
        ("az://b/p", {"account_key": SECRET}, "needs account_name"),
        ("az://b/p", {"connection_string": f"AccountKey={SECRET}"}, "has no AccountName"),
        ("az://b/p", {"account_name": "a", "account_key": f"{SECRET}!"}, "cannot be used"),
        ("nope://x", {"secret": SECRET}, "fsspec knows no filesystem 'nope'"),
        ("fsspec+nope://x", {"secret": SECRET}, "fsspec knows no filesystem 'nope'"),
        ("sftp://host/x", {"password": SECRET}, "paramiko"),
        ("fsspec+s3://bucket/x", {"secret": SECRET}, "s3fs"),
        ("file:///x", {"secret": SECRET}, "no options, so these are not supported: secret"),
        (f"file:///data?secret={SECRET}", {}, "no options"),
        ("file://host/data", {}, "needs an absolute folder"),
        ("file:data", {}, "needs an absolute folder"),
        ("memory://name", {}, "no host and no path"),
        ("memory://", {"anon": SECRET}, "no options, so these are not supported: anon"),
        ("/data", {}, "has no scheme"),
        ("", {}, "has no scheme"),
    ],
)
async def test_a_wrong_configuration_is_refused_with_its_reason_and_no_secret(
    url: str, options: dict[str, Json], said: str
) -> None:
    assert said in await refusal(url, options)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://b", "obstore", "s3"),
        ("gs://b", "obstore", "gcs"),
        ("az://b", "obstore", "azure"),
        ("s3://b", "botocore", "s3"),
    ],
)
async def test_a_missing_package_is_named_with_the_extra_that_brings_it(url: str, package: str, extra: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITHOUT_PACKAGE, url, package),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path), "AWS_PROFILE": "somebody"},
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()

    assert f"needs the package {package}: pip install 'evergreen-video[{extra}]'" in output.decode()


async def test_a_body_is_not_hashed_for_its_signature_where_nobody_can_change_it(
    emulators: Callable[[str], Emulator], proxy: Proxy
) -> None:
    hashes = []
    proxy.act = lambda request: hashes.append(request.headers.get("x-amz-content-sha256")) or "pass"
    url, options = proxy.before(emulators("s3").bucket())

    assert await works(url, **options)
    assert "UNSIGNED-PAYLOAD" in hashes
    assert is_confidential("https://storage.example.test")
    assert is_confidential("http://localhost:9000")
    assert not is_confidential("http://10.0.0.7:9000")
    assert not is_confidential("http://storage.example.test")
