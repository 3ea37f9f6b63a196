"""Makes the parts of a scene: a picture, a line and a sound at once, a clip from the picture, the line in French.

    python scene.py PROJECT SCENE FOLDER

Tells how each job ends, and copies their files to FOLDER. `EVERGREEN_ENDPOINT` is the service's HOST:PORT.
"""

import asyncio
import sys
from pathlib import Path

from evergreen import AsyncClient, AsyncJobHandle, DubbingSpec, Media

PICTURE = Path(__file__).parents[2] / "tests" / "samples" / "rocket.jpg"


async def main(project_id: str, scene_id: str, folder: Path) -> None:
    async with AsyncClient() as client:
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
        await ended(client, picture, line, sound)
        # What a job has made can be the input of the next: it lies in the scene.
        clip = await client.generate(
            project_id=project_id,
            scene_id=scene_id,
            model="gen4_turbo",
            ratio="1280:720",
            duration_seconds=5,
            prompt_text="The rocket climbs",
            image=f"asset:{picture.job.outputs[0].asset}",
        )
        french = await client.generate_spec(
            DubbingSpec(audio=Media(asset=line.job.outputs[0].asset), target_language="fr"),
            project_id=project_id,
            scene_id=scene_id,
            model="eleven_voice_dubbing",
        )
        await ended(client, clip, french)
        for made in (picture, line, sound, clip, french):
            for file in await made.download(folder):
                print(file)


async def ended(client: AsyncClient, *jobs: AsyncJobHandle) -> None:
    """Tells how each job ended, as it does, and raises the error of the first that has not succeeded."""
    async for job in client.as_completed(jobs):
        print(f"{job.kind:6}  {job.state}", file=sys.stderr)
    for each in jobs:
        await each.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
