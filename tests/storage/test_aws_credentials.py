"""Where the credentials of an S3 storage come from, as AWS's own tools have it, and what is said where none are."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path

import pytest
from aiohttp import web

from evergreen_storage import Json, StorageError, Unavailable, Unsupported, open_storage
from tests.loopback import serving_app
from tests.storage.emulators import Bucket, Emulator

SECRET = "hunter2-secret"


@pytest.fixture
def bucket(emulators: Callable[[str], Emulator]) -> Bucket:
    return emulators("s3").bucket()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any credentials, but for what a test puts into `~/.aws`, and without a role."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / ".aws").mkdir()
    return tmp_path


def options_of(bucket: Bucket) -> dict[str, Json]:
    return {"endpoint_url": bucket.options["endpoint_url"]}


async def works(url: str, environ: Mapping[str, str], **options: Json) -> bool:
    async with open_storage(url, environ=environ, **options) as storage:
        await storage.put("a", b"1")
        signed = await storage.sign("a", ttl=timedelta(minutes=1))
        return signed is not None and (await storage.get("a", max_bytes=1))[0] == b"1"


async def refusal(kind: type[StorageError], environ: Mapping[str, str]) -> str:
    with pytest.raises(kind) as fault:
        async with open_storage("s3://bucket/prefix", environ=environ):
            raise AssertionError("opened")
    assert SECRET not in str(fault.value)
    return str(fault.value)


@asynccontextmanager
async def answering(answer: Mapping[str, object]) -> AsyncIterator[str]:
    """Runs a server that hands out a container's credentials."""

    async def handle(request: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with serving_app(app) as address:
        yield f"http://{address}"


async def test_a_profile_gives_key_region_and_endpoint(home: Path, bucket: Bucket) -> None:
    (home / ".aws" / "credentials").write_text(f"[film]\naws_access_key_id = key\naws_secret_access_key = {SECRET}\n")
    endpoint = bucket.options["endpoint_url"]
    (home / ".aws" / "config").write_text(f"[profile film]\nregion = eu-central-1\nendpoint_url = {endpoint}\n")

    assert await works(bucket.url, {"AWS_PROFILE": "film"})


async def test_files_in_other_places_are_found(home: Path, tmp_path: Path, bucket: Bucket) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(f"[default]\naws_access_key_id = key\naws_secret_access_key = {SECRET}\n")

    assert await works(bucket.url, {"AWS_SHARED_CREDENTIALS_FILE": str(elsewhere)}, **options_of(bucket))


async def test_a_program_that_gives_credentials_is_asked(home: Path, bucket: Bucket) -> None:
    given = {"Version": 1, "AccessKeyId": "key", "SecretAccessKey": SECRET, "SessionToken": "token"}
    (home / ".aws" / "given.json").write_text(json.dumps(given))
    program = f"cat {home / '.aws' / 'given.json'}"
    (home / ".aws" / "config").write_text(f"[profile film]\ncredential_process = {program}\n")

    assert await works(bucket.url, {"AWS_PROFILE": "film"}, **options_of(bucket))


async def test_the_role_of_a_container_is_used(home: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    role = {"AccessKeyId": "key", "SecretAccessKey": SECRET, "Token": "token", "Expiration": later}
    async with answering(role) as address:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{address}/role")

        assert await works(bucket.url, {}, **options_of(bucket))


async def test_a_sign_on_that_ran_out_says_to_sign_in_again(home: Path) -> None:
    start = "https://example.awsapps.com/start"
    (home / ".aws" / "config").write_text(
        f"[profile film]\nsso_start_url = {start}\nsso_region = eu-central-1\nsso_account_id = 123456789012\n"
        "sso_role_name = films\nregion = eu-central-1\n"
    )
    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {"startUrl": start, "region": "eu-central-1", "accessToken": SECRET, "expiresAt": "2020-01-01T00:00:00Z"}
    (cache / f"{sha1(start.encode()).hexdigest()}.json").write_text(json.dumps(token))

    text = await refusal(Unavailable, {"AWS_PROFILE": "film"})

    assert "the profile 'film'" in text
    assert "SSO" in text


async def test_where_there_are_no_credentials_one_sentence_tells_what_was_looked_for(home: Path) -> None:
    text = await refusal(Unavailable, {})

    assert text.startswith("no AWS credentials were found")
    for word in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "role of the container", "anon"):
        assert word in text


async def test_a_profile_that_does_not_exist_is_named(home: Path) -> None:
    text = await refusal(Unsupported, {"AWS_PROFILE": "flim"})

    assert text == "AWS_PROFILE names 'flim', which AWS's config and credentials files do not have"


async def test_a_key_that_is_given_goes_before_any_profile(home: Path, bucket: Bucket) -> None:
    options = {**bucket.options}

    assert await works(bucket.url, {"AWS_PROFILE": "no such profile"}, **options)
