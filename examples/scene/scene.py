"""Makes the parts of a scene: a picture, a line and a sound at once, a clip from the picture, the line in French.

    python scene.py PROJECT SCENE FOLDER

Shows the progress of all jobs, and copies their files to FOLDER. `EVERGREEN_ENDPOINT` is the service's host:port.
"""

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path

from evergreen import DubbingSpec, Job, Media, MediaKind, MediaRole, WireClient

PICTURE = Path(__file__).parents[2] / "tests" / "samples" / "rocket.jpg"


async def main(project_id: str, scene_id: str, folder: Path) -> None:
    async with WireClient(os.environ.get("EVERGREEN_ENDPOINT", "127.0.0.1:50051")) as client:
        picture = await client.generate_image(
            project_id=project_id,
            scene_id=scene_id,
            model="gen4_image",
            ratio="1280:720",
            prompt_text="@rocket on its launch pad at dawn",
            references={"rocket": PICTURE},
        )
        line = await client.generate_speech(
            project_id=project_id,
            scene_id=scene_id,
            model="eleven_v3",
            voice="Maya",
            text="Ten seconds to lift-off. Everyone is holding their breath.",
        )
        sound = await client.generate_sound(
            project_id=project_id,
            scene_id=scene_id,
            model="eleven_text_to_sound_v2",
            prompt_text="A rocket engine starts",
            duration_seconds=4,
        )
        jobs = await follow(client, [picture, line, sound])
        # What a job has made can be the input of the next: it lies in the scene.
        clip = await client.generate(
            project_id=project_id,
            scene_id=scene_id,
            model="gen4_turbo",
            ratio="1280:720",
            duration_seconds=5,
            prompt_text="The rocket climbs",
            media=[Media(asset=jobs[picture.job_id].outputs[0].asset, role=MediaRole.MEDIA_ROLE_FIRST_FRAME)],
        )
        french = await client.generate_spec(
            DubbingSpec(audio=Media(asset=jobs[line.job_id].outputs[0].asset), target_language="fr"),
            project_id=project_id,
            scene_id=scene_id,
            model="eleven_voice_dubbing",
        )
        jobs |= await follow(client, [clip, french])
        for job in jobs.values():
            for output in job.outputs:
                target = folder / Path(output.asset).name
                await client.scenes.download(project_id, scene_id, output.asset, target)
                print(target)


async def follow(client: WireClient, jobs: list[Job]) -> dict[str, Job]:
    """Shows the progress of jobs until all have succeeded, and returns them. Raises JobFailed."""
    job_ids = [job.job_id for job in jobs]
    async with aclosing(client.watch(job_ids=job_ids)) as messages:
        async for message in messages:
            if message.HasField("event"):
                job = message.event.job
                kind = MediaKind.Name(job.kind).removeprefix("MEDIA_KIND_").lower()
                print(f"{kind:6}  {job.progress:4.0%}", file=sys.stderr)
    return {job_id: await client.wait(job_id) for job_id in job_ids}


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
