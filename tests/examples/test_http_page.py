"""The examples of docs/http.md, run as they stand but for the address."""

import asyncio
import re
import shutil
from pathlib import Path

import openai
import pytest

from tests.gateway.gateways import gateway
from tests.serving import SAMPLES, Control

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
ADDRESS = "http://127.0.0.1:8080"
# A failed answer is a failed command; a watch, which has no end, is left after two seconds.
BEGIN = """
curl() { command curl --fail-with-body -sS -m 2 "$@" || { code=$?; test "$1$code" = -N28 || exit $code; }; }
set -e
"""


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
async def test_they_run(tmp_path: Path, sandbox: Control) -> None:
    shells, snippets = (
        re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for kind in ("sh", "python")
    )
    shutil.copy(SAMPLES / "rocket.jpg", tmp_path / "hero.png")
    assert len(shells) >= 5

    async with gateway(tmp_path / "data", sandbox) as api:
        for block in shells:
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", BEGIN + block.replace(ADDRESS, api.http)),
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == 0, (block, out, err)
        for block in snippets:
            names: dict[str, object] = {"openai": openai, "token": "any"}
            await asyncio.to_thread(exec, block.replace(ADDRESS, api.http), names)
            assert names["video"].status == "queued"
            names["client"].close()

    assert (tmp_path / "head").stat().st_size == 100
