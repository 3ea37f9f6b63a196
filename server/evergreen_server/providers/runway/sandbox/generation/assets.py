"""Takes in the pictures, videos and sounds that a request names, by the provider's rules for each form of URI."""

import asyncio
import base64
import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, TypeVarTuple
from urllib.parse import urlsplit

import aiohttp
from PIL import Image, UnidentifiedImageError

from evergreen_server.providers.runway.catalog.models import MEDIA_TYPES, Json, Kind
from evergreen_server.providers.runway.sandbox.generation.studio import RenderFailed, Studio
from evergreen_server.providers.runway.sandbox.settings import Settings
from evergreen_server.providers.runway.sandbox.state.uploads import Upload

AssetKind: TypeAlias = Literal["image", "video", "audio"]
Place: TypeAlias = tuple[str | int, ...]
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

_FIELDS: Mapping[str, AssetKind] = {
    "promptImage": "image",
    "videoUri": "video",
    "promptVideo": "video",
    "references": "image",
    "keyframes": "image",
    "referenceVideos": "video",
    "referenceAudio": "audio",
    "referenceImages": "image",
    "maskUri": "image",
    "imageUri": "image",
    "audioUri": "audio",
    "referenceAudios": "audio",
    "voice": "audio",
    "media": "audio",
    "speech": "audio",
    "character": "image",
    "reference": "video",
    "firstFrame": "image",
    "productImages": "image",
    "styleImages": "image",
    "referenceVideo": "video",
    "originalProductImage": "image",
    "newProductImages": "image",
    "characterImage": "image",
    "productImage": "image",
    "referenceImage": "image",
    "image": "image",
}
_URIS = ("uri", "audioUri", "audio")
"""The members of an object that hold a URI."""
_STATED: Mapping[str, AssetKind] = {"image": "image", "video": "video", "audio": "audio"}
_TYPES = {"image": MEDIA_TYPES[Kind.PICTURE], "video": MEDIA_TYPES[Kind.VIDEO], "audio": MEDIA_TYPES[Kind.AUDIO]}
_FETCH_LIMITS = {"image": 16, "video": 32, "audio": 32}
_MEGABYTE = 1024 * 1024
_ROTATED = range(5, 9)
_EXIF_ORIENTATION = 0x0112
_AGENT = "RunwayML API/1.0"
_PICTURE_FORMATS = ("JPEG", "MPO", "PNG", "WEBP")
"""Formats that are read, whatever type a file claims; an MPO is a JPEG followed by a second picture."""
_UNREADABLE = (
    UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ArithmeticError, AttributeError,
    EOFError, LookupError, MemoryError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What the picture library raises for broken files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One URI in a request body, its place and the kind of media it must be."""

    place: Place
    uri: str
    kind: AssetKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Media in the asset store; sizes are zero for sounds, seconds for pictures. `sound` is whether a video has it."""

    place: Place
    digest: str
    kind: AssetKind
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    frame_rate: float = 24.0
    sound: bool = False


class AssetRefused(Exception):
    """The asset cannot be used; the text is the provider's."""


def named_in(body: Mapping[str, Json]) -> Iterator[Named]:
    """Yields every URI of a request body, in the order in which a clip is best made from them."""
    for name, kind in _FIELDS.items():
        yield from _named((name,), body.get(name), kind)


def _named(place: Place, value: Json, kind: AssetKind) -> Iterator[Named]:
    match value:
        case str():
            yield Named(place=place, uri=value, kind=kind)
        case list() if len(place) == 1:
            for index, item in enumerate(value):
                yield from _named((*place, index), item, kind)
        case dict():
            stated = value.get("type")
            for name in _URIS:
                if isinstance(uri := value.get(name), str):
                    yield Named(place=(*place, name), uri=uri, kind=_STATED.get(str(stated), kind))


def on_asset_host(uri: str, settings: Settings) -> bool:
    """Returns whether a URL is on a server that is exempt from the rules on scheme and host name."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc in settings.asset_hosts


class Assets:
    """The asset store: files by SHA-256, and how they are added."""

    def __init__(
        self,
        *,
        folder: Path,
        http: aiohttp.ClientSession,
        trusted: aiohttp.ClientSession,
        studio: Studio,
        threads: ThreadPoolExecutor,
    ) -> None:
        """Uses one session for URLs in requests, and another for those of trusted asset hosts."""
        self._folder = folder
        self._http = http
        self._trusted = trusted
        self._studio = studio
        self._threads = threads

    async def take(self, named: Named, *, settings: Settings, uploads: Mapping[str, Upload], now: float) -> Asset:
        """Reads, stores and measures one asset. Raises AssetRefused."""
        if named.uri.startswith("data:"):
            digest = await self._in_thread(self._keep_encoded, named.uri)
        elif named.uri.startswith("runway:"):
            digest = _uploaded(named, uploads, now - settings.upload_life_seconds)
        else:
            try:
                async with asyncio.timeout(settings.asset_timeout_seconds):
                    http = self._trusted if on_asset_host(named.uri, settings) else self._http
                    digest = await self._fetch(named, http)
            except TimeoutError as exc:
                raise AssetRefused("Timeout while fetching asset.") from exc
        return await self._measure(named, digest)

    async def keep(self, path: Path, digest: str) -> None:
        """Moves a received file into the store."""
        await self._in_thread(path.replace, self._folder / digest)

    async def _measure(self, named: Named, digest: str) -> Asset:
        path = self._folder / digest
        match named.kind:
            case "image":
                width, height = await self._in_thread(_picture_size, path)
                return Asset(place=named.place, digest=digest, kind="image", width=width, height=height)
            case "video":
                try:
                    found = await self._studio.probe(path)
                except RenderFailed as exc:
                    raise AssetRefused("Invalid asset. The video could not be read.") from exc
                return Asset(
                    place=named.place,
                    digest=digest,
                    kind="video",
                    width=round(found["width"]),
                    height=round(found["height"]),
                    seconds=found["seconds"],
                    frame_rate=found["frame_rate"],
                    sound=found["sound"] > 0,
                )
            case "audio":
                try:
                    found = await self._studio.probe(path, kind="audio")
                except RenderFailed as exc:
                    raise AssetRefused("Invalid asset. The audio could not be read.") from exc
                return Asset(place=named.place, digest=digest, kind="audio", seconds=found["seconds"])

    async def _fetch(self, named: Named, http: aiohttp.ClientSession) -> str:
        limit = _FETCH_LIMITS[named.kind] * _MEGABYTE
        headers = {"User-Agent": _AGENT}
        try:
            async with http.head(named.uri, headers=headers, allow_redirects=False) as head:
                _check_answer(head, named, limit)
            async with http.get(named.uri, headers=headers, allow_redirects=False) as answer:
                _check_answer(answer, named, limit)
                data = bytearray()
                async for chunk in answer.content.iter_chunked(256 * 1024):
                    data += chunk
                    _check_size(len(data), limit)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            # The last is what the library raises for a URL that cannot be requested.
            if isinstance(exc, TimeoutError):
                raise
            raise AssetRefused(
                "Failed to fetch asset. The URL may be incorrect or the server hosting the asset may be down."
            ) from exc
        return await self._in_thread(self._keep, bytes(data))

    def _keep_encoded(self, uri: str) -> str:
        try:
            return self._keep(base64.b64decode(uri.partition(",")[2], validate=True))
        except ValueError as exc:
            raise AssetRefused("Invalid data URI.") from exc

    def _keep(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._folder / digest
        if not path.exists():
            # Renamed once it is complete: two requests may send the same picture at once.
            unfinished = path.with_name(f"{digest}.{id(data)}")
            unfinished.write_bytes(data)
            unfinished.replace(path)
        return digest

    async def _in_thread(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def _uploaded(named: Named, uploads: Mapping[str, Upload], oldest: float) -> str:
    upload = uploads.get(named.uri.removeprefix("runway://"))
    if upload is None or not upload.digest or upload.created_at < oldest:
        raise AssetRefused(
            "Failed to fetch asset. The URL may be incorrect or the server hosting the asset may be down."
        )
    _check_type(upload.content_type, named)
    return upload.digest


def _check_answer(answer: aiohttp.ClientResponse, named: Named, limit: int) -> None:
    if answer.status != 200:
        raise AssetRefused(f'Failed to fetch asset. Received HTTP response code "{answer.status}".')
    if "Content-Type" not in answer.headers:
        raise AssetRefused("Failed to fetch asset. The server did not send a Content-Type.")
    _check_type(answer.content_type, named)
    if answer.content_length is None:
        raise AssetRefused("Failed to fetch asset. The server did not send a valid Content-Length.")
    _check_size(answer.content_length, limit)


def _check_type(content_type: str, named: Named) -> None:
    if content_type.lower() not in _TYPES[named.kind]:
        raise AssetRefused(f'Unsupported asset type "{content_type}".')


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise AssetRefused(f"Asset size exceeds {limit / _MEGABYTE:.1f}MB")


def _picture_size(path: Path) -> tuple[int, int]:
    """Reads a picture's size as it is displayed, from its header alone."""
    try:
        with Image.open(BytesIO(path.read_bytes())) as picture:
            turned = picture.getexif().get(_EXIF_ORIENTATION) in _ROTATED
            if picture.format not in _PICTURE_FORMATS:
                raise ValueError("of another format than its type says")
            width, height = picture.size
            if not width or not height:
                raise ValueError("no pixels")
            return (height, width) if turned else (width, height)
    except _UNREADABLE as exc:
        raise AssetRefused("Invalid asset. The image could not be read.") from exc
