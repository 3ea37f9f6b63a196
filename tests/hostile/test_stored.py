"""Stored things that somebody else wrote: read back within bounds, set aside, left out, never INTERNAL, never fatal."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest
import pytest_asyncio

from evergreen.v1 import scene_pb2
from evergreen_storage import SceneStore, Unavailable, open_storage
from tests.rpc.scene_server import SceneApi, scene_serving
from tests.rpc.scenes import crc32c, download, paths_of, scene_of, upload

pytestmark = pytest.mark.asyncio(loop_scope="module")

Change: TypeAlias = Callable[[dict], object]

PICTURE = b"a picture, for all that storage knows"


class Scenes:
    """A server, and the folder of its scenes as somebody else sees it."""

    def __init__(self, api: SceneApi, folder: Path) -> None:
        self.api = api
        self.folder = folder

    def index(self, scene_id: str) -> Path:
        return self.folder / scene_id / "metadata" / "scene.json"

    async def make(self, scene_id: str) -> dict:
        await upload(self.api, PICTURE, scene_id=scene_id, path="exports/cut.bin")
        return json.loads(self.index(scene_id).read_bytes())

    async def listed(self) -> Mapping[str, str]:
        answer = await self.api.scene.ListScenes(scene_pb2.ListScenesRequest(project_id="film", page_size=1000))
        return {scene.scene_id: scene.status for scene in answer.scenes}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scenes]:
    data = tmp_path_factory.mktemp("stored") / "data"
    async with scene_serving(data) as api:
        await upload(api, PICTURE, scene_id="good", path="exports/cut.bin")
        yield Scenes(api, data / "projects" / "film")


def entry(**members: object) -> Change:
    return lambda document: document["assets"]["exports"][0].update(members)


def jobs(*ids: object) -> Change:
    return lambda document: document["generation"].update(videoRequests=list(ids))


def member(**members: object) -> Change:
    return lambda document: document.update(members)


LONE = "\ud800"
CHANGES: dict[str, Change] = {
    "status a lone surrogate": member(status=LONE),
    "status a lone low surrogate": member(status="A\udc00B"),
    "status a number": member(status=1),
    "status a list": member(status=[]),
    "status null": member(status=None),
    "status of a million characters": member(status="A" * 1_000_000),
    "type a lone surrogate": entry(contentType=LONE),
    "type of a million characters": entry(contentType="a/" + "b" * 1_000_000),
    "type an object": entry(contentType={}),
    "job id a lone surrogate": entry(jobId=LONE),
    "job id of a million characters": entry(jobId="a" * 1_000_000),
    "job id with a slash": entry(jobId="../x"),
    "size of 10^30": entry(sizeBytes=10**30),
    "size of 2^63": entry(sizeBytes=2**63),
    "size of 400 digits": entry(sizeBytes=10**400),
    "size of 1e308": entry(sizeBytes=1e308),
    "size below 0": entry(sizeBytes=-1),
    "size a text": entry(sizeBytes="1"),
    "size true": entry(sizeBytes=True),
    "width over 2^31": entry(width=2**31),
    "width of 400 digits": entry(width=10**400),
    "width below 0": entry(width=-5),
    "height of 2^63": entry(height=2**63),
    "height a fraction": entry(height=1.5),
    "length of 400 digits": entry(durationSeconds=10**400),
    "length of 1e308": entry(durationSeconds=1e308),
    "length below 0": entry(durationSeconds=-1.0),
    "length a text": entry(durationSeconds="5"),
    "checksum of 9 digits": entry(crc32c="123456789"),
    "checksum null": entry(crc32c=None),
    "checksum in other digits": entry(crc32c="\uff11" * 8),
    "path of another folder": entry(path="images/cut.bin"),
    "path that leads out": entry(path="exports/../../x"),
    "path a lone surrogate": entry(path=f"exports/{LONE}"),
    "path in metadata": entry(path="metadata/scene.json"),
    "time without a zone": entry(createdAt="2026-01-01T00:00:00"),
    "time before all times": entry(createdAt="0001-01-01T00:00:00+14:00"),
    "time after all times": entry(createdAt="9999-12-31T23:59:59-14:00"),
    "time of the scene before all times": member(createdAt="0001-01-01T00:00:00+23:59"),
    "time of the change a number": member(updatedAt=1e308),
    "an asset twice": lambda document: document["assets"]["exports"].append(document["assets"]["exports"][0]),
    "an asset that is no object": lambda document: document["assets"]["exports"].append(17),
    "assets a list": member(assets=[]),
    "no folder of assets": lambda document: document["assets"].pop("audio"),
    "a request that is a lone surrogate": jobs(LONE),
    "a request that is a number": jobs(7),
    "a request of a million characters": jobs("j" * 1_000_000),
    "a request that is no id": jobs("a/b"),
    "a version of 400 digits": member(schemaVersion=10**400),
    "a version below 0": member(schemaVersion=-1),
    "a version that is a text": member(schemaVersion="2"),
    "another scene's": member(id="good"),
    "another project's": member(projectId="other"),
    "80 levels of others": member(other=json.loads("[" * 80 + "]" * 80)),
}
BYTES: dict[str, bytes] = {
    "nothing": b"",
    "a NUL": b"\0",
    "10,000 NULs": bytes(10_000),
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "900 brackets, closed": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    "60 MB of small numbers": b'{"a":[' + b"1," * 30_000_000 + b"1]}",
    "15 MB of small numbers": b'{"a":[' + b"1," * 7_500_000 + b"1]}",
    "15 MB of empty lists": b'{"a":[' + b"[]," * 5_000_000 + b"1]}",
    "a number of 5,000 digits": b'{"schemaVersion":' + b"1" * 5000 + b"}",
    "infinity": b'{"schemaVersion":1e999}',
    "half of a document": b'{"schemaVersion":1,"id":"s","pro',
    "two documents": b"{}{}",
    "a mark of UTF-16 alone": b"\xff\xfe",
    "bytes that are no UTF-8": b'{"id":"\xc3\x28"}',
    "HTML": b"<!doctype html><title>404</title>",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_a_document_that_somebody_changed_is_set_aside_and_made_again(
    scenes: Scenes, request: pytest.FixtureRequest, change: Change
) -> None:
    scene_id = f"c{list(CHANGES).index(request.node.callspec.id)}"
    document = await scenes.make(scene_id)
    change(document)
    edited = json.dumps(document).encode()

    await _is_made_again(scenes, scene_id, edited)


@pytest.mark.parametrize("edited", BYTES.values(), ids=BYTES.keys())
async def test_a_document_that_is_none_is_set_aside_and_made_again(
    scenes: Scenes, request: pytest.FixtureRequest, edited: bytes
) -> None:
    scene_id = f"b{list(BYTES).index(request.node.callspec.id)}"
    await scenes.make(scene_id)

    await _is_made_again(scenes, scene_id, edited)


async def _is_made_again(scenes: Scenes, scene_id: str, edited: bytes) -> None:
    scenes.index(scene_id).write_bytes(edited)

    listed = await scenes.listed()
    scene = await scene_of(scenes.api, scene_id)

    assert (listed["good"], listed[scene_id]) == ("ACTIVE", "ACTIVE")
    [cut] = [asset for asset in scene.folders[4].assets if asset.path == "exports/cut.bin"]
    assert (cut.size_bytes, cut.crc32c, cut.HasField("width"), cut.job_id) == (len(PICTURE), crc32c(PICTURE), False, "")
    aside = scenes.index(scene_id).with_name("scene.json.corrupt-1")
    assert aside.read_bytes() == edited
    assert not aside.with_name("scene.json.corrupt-2").exists()


def sidecar(job_id: str = "job-1", **members: object) -> bytes:
    asset = {
        "path": "videos/job-1-1-1.mp4",
        "contentType": "video/mp4",
        "sizeBytes": 4,
        "crc32c": f"{crc32c(b'clip'):08x}",
        "width": 320,
        "height": 192,
        "durationSeconds": 2,
        "createdAt": "2026-01-01T00:00:00Z",
        "jobId": "job-1",
    }
    return json.dumps({"schemaVersion": 1, "jobId": job_id, "assets": [asset | members]}).encode()


SIDECARS: dict[str, tuple[bytes, tuple[int, str]]] = {
    "width over 2^31": (sidecar(width=2**31), (0, "job-1")),
    "width of 400 digits": (sidecar(width=10**400), (0, "job-1")),
    "width a lone surrogate": (sidecar(width=LONE), (0, "job-1")),
    "length of 400 digits": (sidecar(durationSeconds=10**400), (320, "job-1")),
    "job id a lone surrogate": (sidecar(jobId=LONE), (320, "")),
    "type a lone surrogate": (sidecar(contentType=LONE), (0, "")),
    "size of 400 digits": (sidecar(sizeBytes=10**400), (0, "")),
    "time before all times": (sidecar(createdAt="0001-01-01T00:00:00+14:00"), (0, "")),
    "path of scene.json": (sidecar(path="metadata/scene.json"), (0, "")),
    "another job's": (sidecar("job-2"), (0, "")),
    "no object": (b"[]", (0, "")),
    "assets a number": (b'{"jobId":"job-1","assets":7}', (0, "")),
    "100,000 brackets": (b"[" * 100_000, (0, "")),
    "2 MB": (sidecar()[:-1] + b" " * 2_000_000 + b"}", (0, "")),
    "a lone surrogate for an id": (b'{"jobId":"\\ud800","assets":[]}', (0, "")),
}


@pytest.mark.parametrize(("data", "told"), SIDECARS.values(), ids=SIDECARS.keys())
async def test_a_sidecar_that_somebody_changed_tells_what_can_be_right(
    scenes: Scenes, request: pytest.FixtureRequest, data: bytes, told: tuple[int, str]
) -> None:
    scene_id = f"s{list(SIDECARS).index(request.node.callspec.id)}"
    await scenes.make(scene_id)
    (scenes.folder / scene_id / "videos" / "job-1-1-1.mp4").write_bytes(b"clip")
    scenes.index(scene_id).with_name("job-1.json").write_bytes(data)
    scenes.index(scene_id).write_bytes(b"corrupt")

    scene = await scene_of(scenes.api, scene_id)

    [clip] = scene.folders[2].assets
    assert (clip.path, clip.size_bytes, clip.crc32c) == ("videos/job-1-1-1.mp4", 4, crc32c(b"clip"))
    assert (clip.width, clip.job_id) == told
    assert await scene_of(scenes.api, scene_id) == scene


async def test_a_sidecar_of_an_impossible_name_does_not_spoil_what_is_made(scenes: Scenes) -> None:
    await scenes.make("odd-sidecar")
    for name in ("a.b", "scene", "CON", "x" * 100):
        named = json.dumps({"jobId": name, "assets": []})
        scenes.index("odd-sidecar").with_name(f"{name}.json").write_text(named)
    scenes.index("odd-sidecar").write_bytes(b"corrupt")

    first = await scene_of(scenes.api, "odd-sidecar")

    assert await scene_of(scenes.api, "odd-sidecar") == first
    assert not scenes.index("odd-sidecar").with_name("scene.json.corrupt-2").exists()


async def test_at_most_nine_documents_are_set_aside(scenes: Scenes) -> None:
    await scenes.make("again")

    for number in range(20):
        scenes.index("again").write_bytes(b"corrupt %d" % number)
        await scene_of(scenes.api, "again")

    aside = sorted(path.name for path in scenes.index("again").parent.glob("*.corrupt-*"))
    assert aside == [f"scene.json.corrupt-{number}" for number in range(1, 10)]
    assert scenes.index("again").with_name(aside[-1]).read_bytes() == b"corrupt 19"


ODD_INDEXES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to nowhere": (lambda path: path.symlink_to("nowhere"), "UNREADABLE"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "UNREADABLE"),
    "a link to a good one": (lambda path: path.symlink_to("../../good/metadata/scene.json"), "UNREADABLE"),
    "a folder": (lambda path: path.mkdir(), ""),
    "a pipe": (os.mkfifo, ""),
}


@pytest.mark.parametrize(("put", "status"), ODD_INDEXES.values(), ids=ODD_INDEXES.keys())
async def test_a_document_that_is_no_file_hides_no_other_scene(
    scenes: Scenes, request: pytest.FixtureRequest, put: Callable[[Path], object], status: str
) -> None:
    scene_id = f"o{list(ODD_INDEXES).index(request.node.callspec.id)}"
    await scenes.make(scene_id)
    scenes.index(scene_id).unlink()
    put(scenes.index(scene_id))

    listed = await scenes.listed()

    assert (listed["good"], listed.get(scene_id, "")) == ("ACTIVE", status)
    with pytest.raises(grpc.aio.AioRpcError, match=r"move it away|symbolic link"):
        await scenes.api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id=scene_id))


async def test_a_scene_tells_of_the_files_that_others_put_there_and_of_its_metadata(scenes: Scenes) -> None:
    await scenes.make("told")
    folder = scenes.folder / "told"
    for path in ("images/theirs.png", "audio/b.mp3", "audio/a.mp3", "exports/page.html", "metadata/notes.txt"):
        (folder / path).write_bytes(b"theirs")
    for path in ("images/a b.png", "images/.hidden", "notes.txt", "images/sub/a.png"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(b"theirs")
    (folder / "images" / "link.png").symlink_to("theirs.png")

    scene = await scene_of(scenes.api, "told")
    (folder / "exports" / "cut.bin").write_bytes(b"another length")
    (folder / "audio" / "a.mp3").unlink()
    later = await scene_of(scenes.api, "told")

    assert paths_of(scene, metadata=True) == [
        "images/theirs.png",
        "audio/a.mp3",
        "audio/b.mp3",
        "metadata/notes.txt",
        "metadata/scene.json",
        "exports/cut.bin",
        "exports/page.html",
    ]
    cut, page = scene.folders[4].assets
    assert (cut.crc32c, cut.content_type) == (crc32c(PICTURE), "text/plain")
    assert (page.size_bytes, page.content_type, page.HasField("crc32c")) == (6, "application/octet-stream", False)
    assert page.create_time.seconds == int((folder / "exports" / "page.html").stat().st_mtime)
    assert "audio/a.mp3" not in paths_of(later)
    assert (later.folders[4].assets[0].size_bytes, later.folders[4].assets[0].HasField("crc32c")) == (14, False)


async def test_a_folder_that_is_a_link_or_a_file_hides_nothing_else(scenes: Scenes) -> None:
    await scenes.make("linked")
    folder = scenes.folder / "linked"
    for name, target in (("images", "../good/exports"), ("audio", "audio"), ("videos", "nowhere")):
        for path in (folder / name).iterdir():
            path.unlink()
        (folder / name).rmdir()
        (folder / name).symlink_to(target)

    scene = await scene_of(scenes.api, "linked")
    (scenes.index("linked")).write_bytes(b"corrupt")
    rebuilt = await scene_of(scenes.api, "linked")
    await scenes.api.scene.DeleteScene(scene_pb2.DeleteSceneRequest(project_id="film", scene_id="linked"))

    assert paths_of(scene) == paths_of(rebuilt) == ["exports/cut.bin"]
    assert not folder.exists()
    assert paths_of(await scene_of(scenes.api, "good")) == ["exports/cut.bin"]


@pytest.mark.parametrize("seconds", [-(2**40), -1, 2**33, 2**45])
async def test_a_file_of_an_impossible_time_is_told_of(scenes: Scenes, seconds: int) -> None:
    scene_id = f"time{seconds % 1000}"
    await scenes.make(scene_id)
    file = scenes.folder / scene_id / "exports" / "cut.bin"
    os.utime(file, (seconds, seconds))

    assert (await scene_of(scenes.api, scene_id)).folders[4].assets[0].size_bytes == len(PICTURE)
    assert (await scenes.listed())[scene_id] == "ACTIVE"


FOREIGN_NAMES = [
    "images/a b.png",
    "images/a+b.png",
    "images/a%2Fb.png",
    "images/é.png",
    "images/日本.png",
    "images/-rf",
    "images/.hidden",
    "images/tail.",
    "images/line\nbreak",
    "images/back\\slash",
    "images/quote'\"",
    "images/bell\x07",
    "images/\u202ereversed",
    "images/CON",
    "images/" + "n" * 255,
    "images/\udcff\udcfe.png",
    "images/sub/in ner/+",
    "images/.thing.0123456789abcdef.part",
    "notes for me.txt",
    "videos/.nfs000001",
    ".DS_Store",
    "elsewhere/deep/er/file",
    "metadata/notes.txt",
]


async def test_a_deletion_takes_what_others_put_there_whatever_its_name(scenes: Scenes) -> None:
    await scenes.make("foreign")
    folder = scenes.folder / "foreign"
    for name in FOREIGN_NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"theirs")
    (folder / "images" / "link").symlink_to("../../good")
    (folder / "images" / "loop").symlink_to("loop")
    os.mkfifo(folder / "images" / "pipe")

    answer = await scenes.api.scene.DeleteScene(scene_pb2.DeleteSceneRequest(project_id="film", scene_id="foreign"))

    assert list(answer.left) == []
    assert not folder.exists()
    assert "exports/cut.bin" in paths_of(await scene_of(scenes.api, "good"))


@contextmanager
def deep(folder: Path, levels: int) -> Iterator[None]:
    """Makes folders within each other, deeper than Python's own tools can remove, and sees to it that they go."""
    above = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=above)
        inner = os.open("d", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=above))
    os.close(above)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", str(folder / "d")], check=True)


@pytest.mark.parametrize("levels", [15, 16, 17, 1_200])
async def test_folders_however_deep_hide_nothing_and_are_deleted_with_their_scene(scenes: Scenes, levels: int) -> None:
    scene_id = f"deep-{levels}"
    await scenes.make(scene_id)
    with deep(scenes.folder / scene_id / "images", levels):
        scene = await scene_of(scenes.api, scene_id)
        listed = await scenes.listed()
        answer = await scenes.api.scene.DeleteScene(scene_pb2.DeleteSceneRequest(project_id="film", scene_id=scene_id))

        assert "exports/cut.bin" in paths_of(scene)
        assert (listed["good"], listed[scene_id]) == ("ACTIVE", "ACTIVE")
        assert list(answer.left) == []
        assert not (scenes.folder / scene_id).exists()


def _loop(root: Path) -> None:
    (root / "projects" / "p" / "loop").symlink_to(root)
    (root / "projects" / "self").symlink_to("self")


def _names(root: Path) -> None:
    for name in (b"\xff\xfe", b"a\nb", b"..hidden", b" ", b"n" * 255):
        os.mkdir(os.path.join(os.fsencode(root / "projects"), name))


def _gone(root: Path) -> None:
    for path in sorted((root / "projects" / "p").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _files_for_folders(root: Path) -> None:
    (root / "projects" / "file").write_bytes(b"")
    os.mkfifo(root / "projects" / "pipe")
    (root / "projects" / ".x.0123456789abcdef.part").mkdir()


def _deleted(root: Path) -> None:
    gone = root / "projects" / "p" / ".0123456789abcdef.gone"
    (gone / "sub").mkdir(parents=True)
    (gone / "sub" / "rest").write_bytes(b"rest")


SWEPT = {
    "links in a circle": (_loop, 1),
    "names that are no text": (_names, 1),
    "folders taken away": (_gone, 0),
    "files where folders are looked for": (_files_for_folders, 1),
    "what a deletion had to leave": (_deleted, 2),
}


@pytest.mark.parametrize(("put", "removed"), SWEPT.values(), ids=SWEPT.keys())
async def test_a_sweep_goes_on_whatever_it_meets(tmp_path: Path, put: Callable[[Path], None], removed: int) -> None:
    left = tmp_path / "projects" / "p" / "s" / "videos" / ".clip.mp4.0123456789abcdef.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half of a clip")
    async with open_storage(tmp_path.as_uri(), clock=lambda: datetime.now(UTC) + timedelta(days=3)) as storage:
        await storage.put("projects/p/s/videos/whole.mp4", b"clip")
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"half of another")
        put(tmp_path)

        assert await SceneStore(storage, clock=lambda: datetime.now(UTC)).sweep() == removed

        assert not left.exists()
        assert not list((tmp_path / "projects" / "p").glob(".*.gone"))


@pytest.mark.parametrize("levels", [17, 1_200])
async def test_a_sweep_goes_past_folders_however_deep(tmp_path: Path, levels: int) -> None:
    left = tmp_path / "projects" / "z" / ".clip.mp4.0123456789abcdef.part"
    async with open_storage(tmp_path.as_uri(), clock=lambda: datetime.now(UTC) + timedelta(days=3)) as storage:
        left.parent.mkdir(parents=True)
        left.write_bytes(b"half of a clip")
        with deep(tmp_path / "projects", levels):
            assert await SceneStore(storage, clock=lambda: datetime.now(UTC)).sweep() == 1


async def test_the_root_taken_away_is_a_fault_of_the_storage(tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with open_storage(root.as_uri()) as storage:
        root.rmdir()

        with pytest.raises(Unavailable, match="gone"):
            await SceneStore(storage, clock=lambda: datetime.now(UTC)).sweep()


@pytest.mark.parametrize(
    "content_type", ["text/html", "TEXT/Html", "image/svg+xml", "application/xhtml+xml", "text/xml"]
)
async def test_a_type_that_a_browser_runs_is_not_told_of_whoever_wrote_it(scenes: Scenes, content_type: str) -> None:
    scene_id = f"type-{content_type.replace('/', '-').replace('+', '-')}"
    document = await scenes.make(scene_id)
    document["assets"]["exports"][0]["contentType"] = content_type
    scenes.index(scene_id).write_text(json.dumps(document))

    assert (await scene_of(scenes.api, scene_id)).folders[4].assets[0].content_type == "application/octet-stream"
    info, _ = await download(scenes.api, "exports/cut.bin", scene_id=scene_id)
    assert info.content_type == "application/octet-stream"
