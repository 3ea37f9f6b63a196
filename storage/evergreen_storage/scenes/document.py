"""`scene.json` as a document: its values, its shape, and the changes that may be made to it.

Members that others added survive every change. All changes are idempotent: they are keyed by the job's id
or the asset's path. A change costs the same in a scene of one clip and of thousands, since each entry is kept as the
line that it is written as. Members that this service owns:

    schemaVersion  id  projectId  createdAt  updatedAt  status
    assets      {images, audio, videos, exports}: [{path, contentType, sizeBytes, crc32c, width, height,
                durationSeconds, createdAt, jobId where a job made it}]
    generation  {videoRequests, completedVideos}: [job id], and where there are any
                {imageRequests, completedImages, audioRequests, completedAudio}

`crc32c` is text, 8 lower-case hexadecimal digits; what is not known is null; times are RFC 3339 in UTC.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from typing import Final, NamedTuple

from evergreen_storage.keys import FOLDERS
from evergreen_storage.scenes.bounded import Corrupt, read_object
from evergreen_storage.scenes.entries import (
    asset_of,
    entry_of,
    job_id_of,
    list_of,
    object_of,
    text_of,
    time_of,
    time_text,
    whole_of,
)
from evergreen_storage.scenes.errors import UnsupportedSchema
from evergreen_storage.scenes.values import Asset, Scene
from evergreen_storage.storage import Json

SCHEMA_VERSION: Final = 1
ASSET_FOLDERS: Final = tuple(folder for folder in FOLDERS if folder != "metadata")

_LISTS_OF: Final = {
    "videos": ("videoRequests", "completedVideos"),
    "images": ("imageRequests", "completedImages"),
    "audio": ("audioRequests", "completedAudio"),
}
"""The lists of jobs, those requested and those completed, by the folder of what they make."""
_JOB_LISTS: Final = tuple(name for lists in _LISTS_OF.values() for name in lists)
_ALWAYS: Final = _LISTS_OF["videos"]
_MEMBERS: Final = frozenset(
    {"schemaVersion", "id", "projectId", "createdAt", "updatedAt", "status", "assets", "generation"}
)
_NEWEST_VERSION: Final = 1 << 31
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class Entry(NamedTuple):
    """An asset in a document, and the line that is written for it."""

    asset: Asset
    line: str


_ASSET: Final = itemgetter(Entry._fields.index("asset"))


class Document:
    """A document in memory. Our own lists are kept by path and by id, everything else as the text that is written.

    `members` and the two dictionaries of texts keep the order; they have a null for what is kept elsewhere.
    `changed` is whether a change made a difference since it was read, or copied.
    """

    def __init__(
        self,
        members: dict[str, Json],
        folders: dict[str, dict[str, Entry]],
        jobs: dict[str, dict[str, None]],
        texts: Mapping[str, Mapping[str, str | None]],
    ) -> None:
        self.members = members
        self.texts = texts
        self.folders = folders
        self.jobs = jobs
        self.changed = False
        self._scene: Scene | None = None
        self._tuples: dict[str, tuple[Asset, ...]] = {}

    def copy(self) -> "Document":
        """Returns a copy that can be changed independently."""
        made = Document(
            dict(self.members),
            {folder: dict(entries) for folder, entries in self.folders.items()},
            {name: dict(ids) for name, ids in self.jobs.items()},
            self.texts,
        )
        made._tuples = dict(self._tuples)
        return made

    def scene(self) -> Scene:
        """Returns the value of the document. Raises Corrupt."""
        if self._scene is None:
            self._scene = Scene(
                project_id=text_of(self.members.get("projectId"), "projectId"),
                id=text_of(self.members.get("id"), "id"),
                status=text_of(self.members.get("status"), "status"),
                created_at=time_of(self.members.get("createdAt"), "createdAt"),
                updated_at=time_of(self.members.get("updatedAt"), "updatedAt"),
                images=self._assets("images"),
                audio=self._assets("audio"),
                videos=self._assets("videos"),
                exports=self._assets("exports"),
                video_requests=tuple(self.jobs["videoRequests"]),
                completed_videos=tuple(self.jobs["completedVideos"]),
                image_requests=tuple(self.jobs["imageRequests"]),
                completed_images=tuple(self.jobs["completedImages"]),
                audio_requests=tuple(self.jobs["audioRequests"]),
                completed_audio=tuple(self.jobs["completedAudio"]),
            )
        return self._scene

    def touch(self, now: datetime) -> None:
        """Sets the time of the last change."""
        self.members["updatedAt"] = time_text(now)
        self._differ()

    def put(self, asset: Asset, line: str) -> None:
        """Adds an asset, or replaces its entry in place."""
        folder = asset.path.partition("/")[0]
        self.folders[folder][asset.path] = Entry(asset, line)
        self._differ(folder)

    def remove(self, path: str) -> None:
        """Removes an entry, if it is there."""
        folder = path.partition("/")[0]
        if self.folders[folder].pop(path, None) is not None:
            self._differ(folder)

    def enter(self, name: str, job_id: str) -> None:
        """Adds a job's id to one of the lists, if it is not there."""
        if job_id not in self.jobs[name]:
            self.jobs[name][job_id] = None
            self._differ()

    def _assets(self, folder: str) -> tuple[Asset, ...]:
        if folder not in self._tuples:
            self._tuples[folder] = tuple(map(_ASSET, self.folders[folder].values()))
        return self._tuples[folder]

    def _differ(self, folder: str = "") -> None:
        self.changed = True
        self._scene = None
        self._tuples.pop(folder, None)


def new_document(project_id: str, scene_id: str, *, created_at: datetime, updated_at: datetime) -> Document:
    """Returns the document of an empty scene."""
    members: dict[str, Json] = {
        "schemaVersion": SCHEMA_VERSION,
        "id": scene_id,
        "projectId": project_id,
        "createdAt": time_text(created_at),
        "updatedAt": time_text(updated_at),
        "status": "ACTIVE",
        "assets": None,
        "generation": None,
    }
    texts = {"": {}, "assets": dict.fromkeys(ASSET_FOLDERS), "generation": dict.fromkeys(_ALWAYS)}
    return Document(members, {folder: {} for folder in ASSET_FOLDERS}, {name: {} for name in _JOB_LISTS}, texts)


def decode(data: bytes, *, project_id: str, scene_id: str) -> Document:
    """Reads a document and checks its whole shape. Raises Corrupt, UnsupportedSchema."""
    members = read_object(data)
    version = whole_of(members.get("schemaVersion"), "schemaVersion", most=_NEWEST_VERSION)
    if version > SCHEMA_VERSION:
        raise UnsupportedSchema(
            f"the scene.json of {project_id}/{scene_id} has schemaVersion {version}, and this version of the service "
            f"knows {SCHEMA_VERSION}: it is left as it is; use a newer version"
        )
    assets = object_of(members.get("assets"), "assets")
    generation = object_of(members.get("generation"), "generation")
    folders = {folder: _entries(assets, folder) for folder in ASSET_FOLDERS}
    given = {name: generation.get(name, None if name in _ALWAYS else []) for name in _JOB_LISTS}
    jobs = {name: {job_id_of(value, name): None for value in list_of(given[name], name)} for name in _JOB_LISTS}
    texts: dict[str, dict[str, str | None]] = {
        "": {name: _line(value) for name, value in members.items() if name not in _MEMBERS},
        "assets": {name: None if name in folders else _line(value) for name, value in assets.items()},
        "generation": {name: None if name in jobs else _line(value) for name, value in generation.items()},
    }
    kept = {name: value if name in _MEMBERS and name not in texts else None for name, value in members.items()}
    document = Document(kept, folders, jobs, texts)
    scene = document.scene()
    if (scene.project_id, scene.id) != (project_id, scene_id):
        raise Corrupt("it belongs to another scene")
    return document


def encode(document: Document) -> bytes:
    """Returns a document as JSON, one line for each asset."""
    assets = {folder: _array(entry.line for entry in held.values()) for folder, held in document.folders.items()}
    lists = dict(document.texts["generation"]) | {name: None for name, ids in document.jobs.items() if ids}
    generation = {name: _array(map(_line, ids)) for name, ids in document.jobs.items()}
    whole = {
        "assets": _block(document.texts["assets"], assets, "  "),
        "generation": _block(lists, generation, "  "),
    }
    ours = {name: _line(value) for name, value in document.members.items() if name in _MEMBERS}
    kept = {name: document.texts[""].get(name) for name in document.members}
    return _bytes(_block(kept, ours | whole, ""))


def add_assets(document: Document, assets: Iterable[Asset]) -> None:
    """Adds assets, or updates their entries."""
    for asset in assets:
        held = document.folders[asset.path.partition("/")[0]].get(asset.path)
        new = entry_of(asset)
        if held is None:
            document.put(asset, _line(new))
            continue
        if (held.asset.size_bytes, held.asset.crc32c) == (asset.size_bytes, asset.crc32c):
            # The same content: keeps its first time and what was known.
            del new["createdAt"]
            new = {name: value for name, value in new.items() if value is not None}
        entry = object_of(json.loads(held.line), "asset")
        line = _line(entry | new)
        if line != held.line:
            document.put(asset_of(entry | new), line)


def remove_asset(document: Document, path: str) -> None:
    """Removes the entry of an asset, if it is there."""
    document.remove(path)


def add_job(document: Document, job_id: str, *, makes: str, completed: bool) -> None:
    """Adds a job's id to the requests of what it `makes`, a folder, and, if it is completed, to the completed."""
    requested, done = _LISTS_OF[makes]
    for name in (requested, done) if completed else (requested,):
        document.enter(name, job_id)


def undelivered(document: Document) -> int:
    """Returns the number of requests that are not completed."""
    return sum(len(document.jobs[requested]) - len(document.jobs[done]) for requested, done in _LISTS_OF.values())


def made_by(assets: Iterable[Asset]) -> str:
    """Returns the folder of what a job made, by the assets in its sidecar: a clip has a poster in another."""
    folders = {asset.path.partition("/")[0] for asset in assets}
    return next((folder for folder in _LISTS_OF if folder in folders), "videos")


def encode_sidecar(job_id: str, assets: Sequence[Asset], members: Mapping[str, Json]) -> bytes:
    """Returns what is known of one job's outputs as JSON: the caller's members, and ours, which take precedence."""
    ours: dict[str, Json] = {
        "schemaVersion": SCHEMA_VERSION,
        "jobId": job_id,
        "assets": [entry_of(asset) for asset in assets],
    }
    return _bytes(json.dumps({**members, **ours}, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=True))


def decode_sidecar(data: bytes, *, job_id: str) -> list[Asset]:
    """Reads which assets a sidecar names, without those that cannot be right. Raises Corrupt."""
    document = read_object(data)
    if job_id_of(document.get("jobId"), "jobId") != job_id:
        raise Corrupt("it belongs to another job")
    found = []
    for entry in list_of(document.get("assets"), "assets"):
        with suppress(Corrupt):
            found.append(asset_of(entry, lenient=True))
    return found


def _entries(owner: dict[str, Json], folder: str) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for value in list_of(owner.get(folder), folder):
        asset = asset_of(value)
        if asset.path.partition("/")[0] != folder:
            raise Corrupt(f"{folder} names an asset of another folder")
        if asset.path in found:
            raise Corrupt(f"{folder} names an asset twice")
        found[asset.path] = Entry(asset, _line(value))
    return found


def _line(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _array(lines: Iterable[str]) -> str:
    text = ",\n      ".join(lines)
    return f"[\n      {text}\n    ]" if text else "[]"


def _block(texts: Mapping[str, str | None], ours: Mapping[str, str], indent: str) -> str:
    lines = (f"{indent}  {_line(name)}: {ours[name] if text is None else text}" for name, text in texts.items())
    text = ",\n".join(lines)
    return f"{{\n{text}\n{indent}}}"


def _bytes(text: str) -> bytes:
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        # Half of a surrogate pair can only be written escaped, and occurs only inside a text.
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"
