"""The README's example runs as it stands, but for the address."""

import asyncio
import re
import sys
from pathlib import Path

from tests.serving import Api

ROOT = Path(__file__).parents[2]


async def test_the_ten_lines_of_python_make_a_clip(api: Api, tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = tmp_path / "readme.py"
    script.write_text(program.replace("127.0.0.1:50051", api.address))

    process = await asyncio.create_subprocess_exec(
        sys.executable, script, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0, err.decode()
    *progress, asset = out.decode().split()
    assert progress[-1] == "100%"
    assert (tmp_path / "data" / "projects" / "film" / "scene-1" / asset).stat().st_size > 0
