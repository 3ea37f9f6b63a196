"""The service starts processes without forking itself: gRPC's threads would begin anew in the child, and crash it."""

from pathlib import Path

from evergreen.v1 import video_pb2 as v1
from tests.serving import ServerProcess, first_frame

FORKED = "this process was forked"
PROGRAM = f"""
import os
os.register_at_fork(before=lambda: os.write(2, b"{FORKED}\\n"))
from evergreen_server.__main__ import main
main()
"""


async def test_a_server_with_its_sandbox_never_forks(tmp_path: Path) -> None:
    program = ("-c", PROGRAM, "serve", "--sandbox")
    async with ServerProcess(tmp_path / "data", "", {"RUNWAYML_BASE_URL": ""}, program=program) as server:
        api = await server.start()
        done = await api.finished((await api.generate(model="gen4_turbo", media=[first_frame()])).job_id)

    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert FORKED not in (tmp_path / "data.log").read_text()
