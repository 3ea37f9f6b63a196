"""The OpenAPI document: valid, served, and what schemathesis makes of it never gets a 500 from a running server."""

import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from openapi_spec_validator import validate

from evergreen_server.gateway.bridge import FILES
from evergreen_server.gateway.rest.routes import BINDINGS
from tests.gateway.gateways import gateway
from tests.gateway.rest.fuzzing import fuzzed
from tests.serving import Api, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = "https://studio.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("openapi") / "data"
    async with open_sandbox() as sandbox, gateway(folder, sandbox, EVERGREEN_HTTP_ORIGINS=ORIGIN) as opened:
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


async def test_every_schema_has_the_fields_of_its_message(api: Api) -> None:
    """As `make check` says too, but where nobody has the generators."""
    schemas = json.loads((files("evergreen_server.gateway") / "static/openapi.json").read_text())["components"][
        "schemas"
    ]
    found = {}
    for file in FILES:
        for name, message in file.message_types_by_name.items():
            if name in schemas:
                found[name] = {field.json_name for field in message.fields}
        for name, enum in file.enum_types_by_name.items():
            if name in schemas:
                assert schemas[name]["enum"] == [value.name for value in enum.values], name

    assert len(found) > 40
    assert {name: set(schemas[name]["properties"]) for name in found} == found


async def test_a_listed_page_may_send_and_read_the_fields_of_rest(api: Api) -> None:
    path = "/api/v1/projects/p/scenes/s/assets/images/listed.bin"
    async with aiohttp.ClientSession(api.http, headers={"Origin": ORIGIN}) as http:
        async with http.options(path) as answer:
            allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
            verbs = answer.headers["Access-Control-Allow-Methods"].split(", ")
        async with http.put(path, data=b"1", headers={"Authorization": "Bearer any"}) as answer:
            exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")

    assert {binding.verb for binding in BINDINGS} <= set(verbs)
    assert {"idempotency-key", "if-none-match", "if-range", "range", "x-evergreen-crc32c"} <= set(allowed)
    assert {"etag", "link", "location", "content-range", "retry-after"} <= set(exposed)


async def test_generated_requests_get_no_error_of_ours(api: Api, tmp_path: Path) -> None:
    """`make fuzz-http` does it for longer, over every phase."""
    code, text = await fuzzed(api.http, tmp_path, phases="fuzzing", examples=2)

    assert code == 0, text[-4000:]
    assert int(re.findall(r"(\d+) generated", text)[0]) > len(BINDINGS)
