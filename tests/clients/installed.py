"""`python installed.py ADDRESS PICTURE FOLDER`: uses an installed client, with nothing beside its own dependencies.

Runs where no test library is, against a server that runs elsewhere, and prints the versions that it ran with.
"""

import asyncio
import sys
from collections.abc import Awaitable
from contextlib import aclosing
from importlib.metadata import version
from pathlib import Path

import evergreen
from evergreen import JobState, Reconnect, WireClient, is_final

NAMES = ("grpcio", "protobuf", "googleapis-common-protos", "google-crc32c", "grpcio-status")


async def use(address: str, picture: Path, folder: Path) -> None:
    reconnect = Reconnect(first_delay=0.05)
    async with WireClient(address, token="unasked", reconnect=reconnect) as client:
        assert await client.healthy()
        assert "gen4_turbo" in {model.model for model in await client.models()}
        assert (await client.account()).credit_balance > 0

        fields = {"project_id": "film", "scene_id": folder.name, "model": "gen4_turbo", "ratio": "1280:720"}
        refused = await fault(client.generate(**{**fields, "ratio": "1:99"}), evergreen.InvalidRequest)
        assert [each.field for each in refused.violations] == ["media", "ratio"], refused.violations
        assert refused.__cause__ is refused.rpc_error
        await fault(client.status("019b0000-0000-7000-8000-000000000000"), evergreen.JobNotFound)

        job = await client.generate(**fields, duration_seconds=5, prompt_text="The rocket climbs", image=picture)
        states = []
        async with aclosing(client.watch(job_ids=[job.job_id])) as messages:
            async for message in messages:
                states += [message.event.job.state] if message.HasField("event") else []
        assert states[-1] == JobState.JOB_STATE_SUCCEEDED
        done = await client.wait(job.job_id)
        assert is_final(await client.status(job.job_id))
        assert [each.job_id async for each in client.list(project_id="film", scene_id=folder.name)] == [job.job_id]

        where = {"project_id": "film", "scene_id": folder.name}
        hero = {"references": {"hero": picture}, "prompt_text": "@hero at dawn", "ratio": "1280:720"}
        drawn = await client.generate_image(**where, model="gen4_image", **hero)
        assert (await client.wait(drawn.job_id)).outputs[0].content_type == "image/png"
        assert await client.quote_spec(evergreen.SpeechSpec(text="Go!", voice="Maya"), **where, model="eleven_v3") == 1

        clip = await client.scenes.download("film", folder.name, done.outputs[0].asset, folder / "clip.mp4")
        assert (folder / "clip.mp4").stat().st_size == clip.size_bytes
        sent = await client.scenes.upload("film", folder.name, "exports/clip.mp4", folder / "clip.mp4")
        read = [chunk async for chunk in client.scenes.read("film", folder.name, "exports/clip.mp4", offset=7)]
        assert sum(map(len, read)) == sent.size_bytes - 7
        assert (await client.scenes.show("film", folder.name)).scene_id == folder.name


def use_without_asyncio(address: str, picture: Path, folder: Path) -> None:
    with evergreen.Client(address, token="unasked") as client:
        clip = client.generate(
            project_id="film",
            scene_id=folder.name,
            model="gen4_turbo",
            ratio="1280:720",
            duration_seconds=5,
            image=picture,
        )
        [file] = clip.download(folder / "again.mp4")
        assert file.stat().st_size == clip.job.outputs[0].size_bytes
        assert clip.job_id in [job.job_id for job in client.list(states=["succeeded"], newest_first=True)]


async def fault(call: Awaitable[object], kind: type[evergreen.CallError]) -> evergreen.CallError:
    """Gives the error that a call ends with; there is no pytest here."""
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


if __name__ == "__main__":
    address, picture, folder = sys.argv[1:]
    asyncio.run(asyncio.wait_for(use(address, Path(picture), Path(folder)), 120))
    use_without_asyncio(address, Path(picture), Path(folder))
    print(" ".join(f"{name} {version(name)}" for name in NAMES))
