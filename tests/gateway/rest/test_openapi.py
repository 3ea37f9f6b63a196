"""The OpenAPI document: valid, served, and what schemathesis makes of it never gets a 500 from a running server."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from openapi_spec_validator import validate

from evergreen_server.gateway.rest.routes import BINDINGS
from tests.gateway.gateways import gateway
from tests.gateway.rest.fuzzing import fuzzed
from tests.serving import Api, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with open_sandbox() as sandbox, gateway(tmp_path_factory.mktemp("openapi") / "data", sandbox) as opened:
        yield opened


async def test_the_document_is_valid_and_has_every_binding(api: Api) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{api.http}/api/v1/openapi.json") as answer:
            document, tag = await answer.json(), answer.headers["ETag"]
        async with session.get(f"{api.http}/api/v1/openapi.json", headers={"If-None-Match": tag}) as again:
            assert again.status == 304

    validate(document)
    operations = {(verb.upper(), path) for path, each in document["paths"].items() for verb in each}
    assert operations == {(binding.verb, binding.path) for binding in BINDINGS}
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names)
    assert all(each["description"] for path in document["paths"].values() for each in path.values())


async def test_generated_requests_get_no_error_of_ours(api: Api, tmp_path: Path) -> None:
    """`make fuzz-http` does it for longer, over every phase."""
    code, text = await fuzzed(api.http, tmp_path, phases="fuzzing", examples=3)

    assert code == 0, text[-4000:]
    assert int(re.findall(r"(\d+) generated", text)[0]) > len(BINDINGS)
