"""The pages on the clients: their examples run as one program each, and no verb is left out."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from evergreen import Client, JobHandle
from evergreen.client.blocking import BlockingAudit, BlockingFilms, BlockingScenes, BlockingWebhooks
from tests.clients.node import compiled_example
from tests.serving import SAMPLES, Api, open_sandbox, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """The server of both programs."""
    async with open_sandbox() as sandbox, serving(tmp_path_factory.mktemp("server") / "data", sandbox.url) as api:
        yield api


def program(page: str, language: str) -> str:
    text = (ROOT / "docs" / page).read_text()
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


async def run(*command: str | Path, cwd: Path, address: str) -> str:
    shutil.copy(SAMPLES / "rocket.jpg", cwd / "rocket.jpg")
    pipe = asyncio.subprocess.PIPE
    environ = {**os.environ, "EVERGREEN_ENDPOINT": address}
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=environ, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, out.decode() + err.decode()
    return out.decode()


async def test_the_page_on_python_runs_and_passes_a_strict_type_checker(server: Api, tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(program("python.md", "python"))

    out = await run(sys.executable, "page.py", cwd=tmp_path, address=server.address)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--config-file", ROOT / "pyproject.toml")
    await run(*mypy, "page.py", cwd=tmp_path, address=server.address)

    assert "succeeded" in out
    assert (tmp_path / "clip.mp4").stat().st_size > 0


async def test_the_page_on_typescript_compiles_and_runs(server: Api, tmp_path: Path) -> None:
    await compiled_example("scene")
    text = program("typescript.md", "ts").replace('"order-42"', '"order-43"')
    (tmp_path / "page.ts").write_text(text)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    options = ("--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "--types", "node")

    await run(ROOT / "node_modules" / ".bin" / "tsc", *options, "page.ts", cwd=tmp_path, address=server.address)
    out = await run("node", "page.js", cwd=tmp_path, address=server.address)

    assert "succeeded" in out
    assert (tmp_path / "clip.mp4").stat().st_size > 0


async def test_the_page_on_python_names_every_verb() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    kinds = (Client, JobHandle, BlockingScenes, BlockingFilms, BlockingWebhooks, BlockingAudit)
    verbs = {name for kind in kinds for name in vars(kind) if not name.startswith("_")}

    assert {verb for verb in verbs if not re.search(rf"\b{verb}\b", page)} == set()
    assert len(verbs) > 40


async def test_the_page_on_typescript_names_every_verb() -> None:
    page = (ROOT / "docs" / "typescript.md").read_text()
    sources = ROOT / "clients" / "typescript" / "src"
    text = "".join(
        (sources / name).read_text() for name in ("daily.ts", "node/client.ts", "handle.ts", "scene-calls.ts")
    )
    verbs = set(re.findall(r"^  (?:async |get )?\*?([a-z]\w*)\(", text, re.MULTILINE)) - {
        "constructor",
        "heard",
        "toJSON",
    }

    assert {verb for verb in verbs if not re.search(rf"\b{verb}\b", page)} == set()
    assert len(verbs) > 30
