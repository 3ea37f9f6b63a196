"""The client without asyncio: in threads, beside a fork, and at its end."""

import inspect
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from evergreen import AsyncClient, AsyncJobHandle, Client, JobHandle, JobNotFound
from evergreen.audit import Audit
from evergreen.client.blocking import BlockingAudit, BlockingFilms, BlockingScenes, BlockingWebhooks
from evergreen.films import Films
from evergreen.scenes import Scenes
from evergreen.webhooks.calls import Webhooks
from tests.serving import SAMPLES, Api, ServerProcess

CLIP = {"project_id": "film", "scene_id": "scene-1", "model": "gen4_turbo", "ratio": "1280:720", "duration_seconds": 5}
SANDBOX = ("-m", "evergreen_server", "serve", "--sandbox")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """A server of its own process, since these tests hold the loop of this one."""
    async with ServerProcess(tmp_path_factory.mktemp("server") / "data", "", program=SANDBOX) as process:
        api = await process.start()
        # For the watches, which would wait for a first job.
        await api.generate()
        yield api


@pytest.fixture
def client(server: Api) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


def program(text: str, address: str) -> str:
    """What a program of its own prints."""
    run = [sys.executable, "-c", textwrap.dedent(text).replace("ADDRESS", repr(address))]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=90)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Client, AsyncClient),
        (JobHandle, AsyncJobHandle),
        (BlockingAudit, Audit),
        (BlockingScenes, Scenes),
        (BlockingFilms, Films),
        (BlockingWebhooks, Webhooks),
    ],
)
def test_every_verb_is_there_under_its_name_with_its_words(ours: type, theirs: type) -> None:
    verbs = {name for name in dir(theirs) if not name.startswith("_")}

    assert {name for name in dir(ours) if not name.startswith("_")} >= verbs - {"audit", "films", "scenes", "webhooks"}
    assert [name for name in verbs if not inspect.getdoc(getattr(ours, name, ours))] == []


def test_from_a_picture_to_a_clip(client: Client, tmp_path: Path) -> None:
    clip = client.generate(**CLIP, prompt_text="The rocket climbs", image=SAMPLES / "rocket.jpg")
    states = [job.state for job in clip.watch()]
    [file] = clip.download(tmp_path / "clip.mp4")

    assert states[-1] == "succeeded"
    assert clip.wait(timeout=30).outputs[0].size_bytes == file.stat().st_size
    assert client.job(clip.job_id).job.prompt == "The rocket climbs"
    assert clip.job_id in [job.job_id for job in client.list(project_id="film", newest_first=True)]
    scene = client.scenes.show("film", "scene-1")
    read = b"".join(client.scenes.read("film", "scene-1", clip.job.outputs[0].asset))
    assert (scene.scene_id, read) == ("scene-1", file.read_bytes())


def test_threads_share_one_thread_of_the_client(client: Client) -> None:
    assert client.healthy()
    before = threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        clips = list(pool.map(lambda _: client.generate(**CLIP, image=SAMPLES / "rocket.jpg"), range(8)))
        within = threading.active_count()
        ended = [job.job_id for job in client.as_completed(clips, timeout=60)]

    # The threads of files and of gRPC are bounded by the machine; no call has one of its own.
    assert sum(thread.name == "evergreen" for thread in threading.enumerate()) == 1
    assert within - before <= 8 + 32
    assert sorted(ended) == sorted(clip.job_id for clip in clips)
    assert [job.state for job in client.wait_all(clips)] == ["succeeded"] * 8


def test_errors_come_as_they_are_and_misspelt_fields_are_refused(client: Client) -> None:
    with pytest.raises(JobNotFound):
        client.job("019b0000-0000-7000-8000-000000000000")
    with pytest.raises(TypeError, match="did you mean 'max_credits'"):
        client.generate(**CLIP, max_credit=1)
    with pytest.raises(TypeError, match=r"'job_id' must be text, not int"):
        client.job(5)
    with pytest.raises(TypeError, match=r"there is no 'page_sice' .did you mean 'page_size'"):
        list(client.scenes.list("film", page_sice=1))


def test_an_iterator_that_is_left_early_ends_its_stream(client: Client) -> None:
    jobs = client.watch("film", include_finished=True)
    assert next(jobs).project_id == "film"

    jobs.close()

    assert client.healthy()


def test_a_closed_client_opens_again_and_one_that_is_open_is_left_as_it_is(server: Api) -> None:
    client = Client(server.address)
    assert client.open().healthy()
    assert client.open().healthy()
    client.close()
    client.close()

    assert client.healthy()
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "evergreen"]


def test_closing_ends_the_calls_of_other_threads(server: Api) -> None:
    client = Client(server.address).open()
    begun = threading.Event()

    def watched() -> str:
        jobs = client.watch("film", include_finished=True)
        next(jobs)
        begun.set()
        try:
            return str(list(jobs))
        except RuntimeError as error:
            return str(error)

    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(watched)
        assert begun.wait(60)
        client.close()
        assert told.result(60) in ("the client was closed during the call", "the client is closed")


def test_a_callback_that_calls_the_client_is_told_that_it_would_wait_for_itself(client: Client) -> None:
    told: list[str] = []

    def moved(_: int, __: int) -> None:
        try:
            client.healthy()
        except RuntimeError as error:
            told.append(str(error))

    client.scenes.upload("film", "scene-1", "exports/a.txt", b"text", overwrite=True, moved=moved)

    assert "cannot call the client" in told[0]


def test_a_client_that_is_made_before_a_fork_opens_in_each_process(server: Api) -> None:
    text = """
        import os
        from evergreen import Client
        client = Client(ADDRESS)
        child = os.fork()
        print(client.healthy(), flush=True)
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """

    assert program(text, server.address) == "True\nTrue\n"


def test_a_client_that_was_open_at_a_fork_says_so(server: Api) -> None:
    text = """
        import os
        from evergreen import Client
        client = Client(ADDRESS).open()
        child = os.fork()
        if not child:
            for use in (client.healthy, Client(ADDRESS).healthy, lambda: list(client.list())):
                try:
                    use()
                except RuntimeError as error:
                    print(str(error)[:49], flush=True)
            client.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(client.healthy())
    """

    assert program(text, server.address) == "this process was forked while a client was open i\n" * 3 + "True\n"


def test_a_program_ends_although_its_client_was_never_closed(server: Api) -> None:
    text = """
        from evergreen import Client
        client = Client(ADDRESS)
        jobs = client.watch("film", include_finished=True)
        print(next(jobs).project_id)
    """

    assert program(text, server.address) == "film\n"
