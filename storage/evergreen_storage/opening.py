"""Opens the storage that a URL names.

    file:///FOLDER              our own engine on local disks
    memory://                   objects in memory
    s3:// s3a://                object stores, on obstore
    gs:// gcs://
    az:// abfs:// abfss://
    fsspec+SCHEME://, others    whatever fsspec knows or was registered with it

Options have fsspec's own names. Those of the call win over those in the URL's query, and both over the environment.
"""

import importlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from evergreen_storage.checksums import is_slow
from evergreen_storage.engines.local import LocalStorage
from evergreen_storage.engines.memory import MemoryStorage
from evergreen_storage.engines.probe import supports_conditional_writes
from evergreen_storage.engines.serialized import SerializedStorage
from evergreen_storage.locks import KeyLocks, Lock
from evergreen_storage.storage import Json, Storage, Unsupported
from evergreen_storage.threads import Threads

if TYPE_CHECKING:
    from evergreen_storage.engines.buckets.bucket import Bucket
    from evergreen_storage.engines.buckets.objects import UploadTurn

logger = logging.getLogger(__name__)

_ENGINES: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
_EXTRAS: Final = {"s3": "s3", "gs": "gcs", "az": "azure"}


class _Engine(Protocol):
    def open_bucket(self, url: str, options: Mapping[str, Json], environ: Mapping[str, str]) -> "Bucket": ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_storage(
    url: str,
    /,
    *,
    clock: Callable[[], datetime] = _utc_now,
    environ: Mapping[str, str] | None = None,
    lock: Lock | None = None,
    temp_dir: Path | None = None,
    upload_turn: "UploadTurn | None" = None,
    **options: Json,
) -> AsyncGenerator[Storage, None]:
    """Opens a storage, tries it out, and closes it at the end. Of `environ` only the vendors' variables are read.

    Several processes may write to a storage with compare-and-swap; to any other only with a `lock` that they share,
    which also serializes the creation of objects larger than one part in a bucket.
    `upload_turn` limits how many bodies are uploaded to a bucket at once, over all projects; without it that is 16,
    first come, first served.
    Copies of objects lie in `temp_dir`, which must exist, or else in the system's folder for temporary files.
    Raises Unsupported for what no engine here offers, and Unavailable if the storage cannot be written.
    """
    if is_slow():
        logger.warning(
            "checksums are computed by Python alone, some 20 times slower: google-crc32c has no build for this system"
        )
    storage = await _open(url, clock, environ or {}, KeyLocks(lock), temp_dir, upload_turn, options)
    try:
        yield storage
    finally:
        await storage.close()


async def _open(
    url: str,
    clock: Callable[[], datetime],
    environ: Mapping[str, str],
    locks: KeyLocks,
    temp_dir: Path | None,
    upload_turn: "UploadTurn | None",
    options: dict[str, Json],
) -> Storage:
    # A URL may carry credentials: no text here repeats it.
    parts = urlsplit(url)
    scheme = parts.scheme
    if not scheme or scheme == "file" or scheme == "memory":
        return await _own(url, clock, temp_dir, options)
    options = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **options}
    url = parts._replace(query="").geturl()
    if scheme in _ENGINES:
        bucket = await _bucket(url, scheme, options, environ, clock, locks, temp_dir, upload_turn)
        return await _compared(bucket, scheme, locks)
    from evergreen_storage.engines.fsspec_storage import FsspecStorage

    filesystem = await FsspecStorage.open(url.removeprefix("fsspec+"), options, temp_dir=temp_dir)
    return _serialized(filesystem, "storage has no compare-and-swap", scheme, locks)


async def _own(url: str, clock: Callable[[], datetime], temp_dir: Path | None, options: Mapping[str, Json]) -> Storage:
    parts = urlsplit(url)
    if not parts.scheme:
        raise Unsupported("the storage URL has no scheme: use file:///FOLDER, memory://, s3://BUCKET and so on")
    if options or parts.query or parts.fragment:
        names = ", ".join(sorted(options)) or "those after the folder"
        raise Unsupported(f"{parts.scheme}:// storage has no options, so these are not supported: {names}")
    if parts.scheme == "memory":
        if parts.netloc or parts.path.strip("/"):
            raise Unsupported("memory:// storage has no host and no path")
        return MemoryStorage(clock=clock, temp_dir=temp_dir)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or "\0" in unquote(parts.path):
        raise Unsupported("file:// storage needs an absolute folder and no host: file:///FOLDER")
    return await LocalStorage.open(Path(unquote(parts.path)), clock=clock)


async def _bucket(
    url: str,
    scheme: str,
    options: Mapping[str, Json],
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    locks: KeyLocks,
    temp_dir: Path | None,
    upload_turn: "UploadTurn | None",
) -> Storage:
    name = _ENGINES[scheme]
    try:
        # Only now, because obstore comes with an extra.
        engine = cast(_Engine, importlib.import_module(f"evergreen_storage.engines.buckets.{name}"))
        from evergreen_storage.engines.buckets.objects import ObjectStorage
    except ModuleNotFoundError as exc:
        raise Unsupported(
            f"{scheme}:// storage needs the package {exc.name}: pip install 'evergreen-video[{_EXTRAS[name]}]'"
        ) from exc
    # In a thread of its own, since it may have to fetch credentials.
    threads = Threads(size=1)
    try:
        bucket = await threads.run(engine.open_bucket, url, options, environ)
    finally:
        threads.close()
    return ObjectStorage(bucket, clock=clock, locks=locks, temp_dir=temp_dir, upload_turn=upload_turn)


async def _compared(storage: Storage, scheme: str, locks: KeyLocks) -> Storage:
    """Checks what a storage supports. Returns it, serialized where it lacks conditional writes."""
    try:
        if await supports_conditional_writes(storage):
            return storage
    except BaseException:
        await storage.close()
        raise
    return _serialized(storage, "storage does not honour compare-and-swap", scheme, locks)


def _serialized(storage: Storage, reason: str, scheme: str, locks: KeyLocks) -> Storage:
    how = "so its writers wait for a lock" if locks.between_processes else "so only one process may write to it"
    logger.warning("%s, %s", reason, how, extra={"scheme": scheme})
    return SerializedStorage(storage, locks)
