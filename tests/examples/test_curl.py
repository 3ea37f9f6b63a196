"""The shell example, run as it stands before a real server."""

import asyncio
import json
import os
from pathlib import Path

from tests.serving import Api, Control

ROOT = Path(__file__).parents[2]


async def run(address: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        ROOT / "examples" / "curl.sh",
        "film",
        env={
            **os.environ,
            "PATH": f"{ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}",
            "EVERGREEN_ENDPOINT": address,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), err.decode()


async def test_the_script_submits_polls_and_lists(api: Api, tmp_path: Path) -> None:
    code, out, err = await run(api.address)

    assert code == 0, err
    first, state, asset = err.splitlines()
    assert state == "JOB_STATE_SUCCEEDED"
    [job] = json.loads(out)["jobs"]
    assert first == f"job {job['jobId']}"
    assert (tmp_path / "data" / "projects" / "film" / "scene-1" / asset).stat().st_size > 0


async def test_the_script_says_what_to_do_where_a_job_needs_attention(api: Api, sandbox: Control) -> None:
    await sandbox.fault("lost_answer", operation="create")

    code, _, err = await run(api.address)

    assert code == 4
    assert "evergreen job resolve" in err


async def test_the_script_says_that_no_server_is_there() -> None:
    code, out, err = await run("127.0.0.1:1")

    assert (code, out) == (1, "")
    assert err == "no server is at 127.0.0.1:1: evergreen serve --sandbox starts one\n"


async def test_the_script_says_which_tool_it_needs(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *("/bin/bash", ROOT / "examples" / "curl.sh"), env={"PATH": str(tmp_path)}, stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 2
    assert err.decode().startswith("install grpcurl")
