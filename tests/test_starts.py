"""What keeps a server from starting is told with the setting that it comes from."""

import asyncio
import os
import sys
from pathlib import Path


async def test_a_fault_at_the_start_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("{\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evergreen.cli", "serve", "--sandbox", "--listen", "127.0.0.1:0"),
        cwd=tmp_path,
        env={**os.environ, "EVERGREEN_TOKENS_FILE": str(tmp_path / "tokens")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    _, told = await asyncio.wait_for(process.communicate(), 120)

    assert process.returncode == 1
    [line] = [line for line in told.decode().splitlines() if line.startswith("Error: ")]
    assert "line 1: is not JSON" in line
    assert line.endswith("(EVERGREEN_TOKENS_FILE)")
