"""`look.py ADDRESS`: prints what the Python client of the release before sees of the project `mixed`.

Prints `ready` when its watch is open. The watch ends with the first job that succeeds; then it reads the ids of jobs of
other kinds from stdin.
"""

import asyncio
import json
import sys
from contextlib import aclosing

import evergreen
from evergreen import Client, JobState


async def look(address: str) -> dict[str, object]:
    async with Client(address) as client:
        watched = set()
        async with aclosing(client.watch(project_id="mixed", after_revision=0, include_finished=True)) as messages:
            async for message in messages:
                if message.HasField("checkpoint"):
                    print("ready", flush=True)
                    continue
                watched.add(message.event.job.job_id)
                if message.event.job.state == JobState.JOB_STATE_SUCCEEDED:
                    break
        others = (await asyncio.to_thread(sys.stdin.readline)).split()
        statuses = [await client.status(job_id) for job_id in others]
        waited = [await client.wait(job_id) for job_id in others]
        scene = await client.scenes.show("mixed", "s")
        return {
            "watched": sorted(watched),
            "listed": [job.job_id async for job in client.list(project_id="mixed")],
            "models": [model.model for model in await client.models()],
            "succeeded": [job.state == JobState.JOB_STATE_SUCCEEDED for job in (*statuses, *waited)],
            "assets": [output.asset for job in statuses for output in job.outputs],
            "files": sorted(asset.path for folder in scene.folders for asset in folder.assets),
            "from": evergreen.__file__,
        }


print(json.dumps(asyncio.run(asyncio.wait_for(look(sys.argv[1]), 120))))
