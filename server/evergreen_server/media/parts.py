"""Finds the parts of a picture's file: what is decoded, what describes it, and what else is in it.

A file that is `bare` holds its pixels and what is needed to decode them, judging by its structure. What
no reader of pictures looks at is `surplus`: it follows the end, or is in parts of an unknown kind.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""The texts in which programs keep a picture's orientation."""
_PNG_SIZES = {
    b"IHDR": 13,
    b"sRGB": 1,
    b"gAMA": 4,
    b"cHRM": 32,
    b"pHYs": 9,
    b"tIME": 7,
    b"sBIT": 3,
    b"bKGD": 6,
    b"IEND": 0,
}
"""The chunks of a bare PNG in RGB other than its pixels, with their fixed sizes."""
_PNG_KNOWN = {
    *_PNG_SIZES,
    *_PNG_TEXTS,
    *(b"PLTE", b"IDAT", b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"hIST", b"sPLT"),
    *(b"cICP", b"mDCV", b"cLLI", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"gIFg", b"gIFx"),
}
_TEXT_BYTES = 1024 * 1024
_INFLATED_AT_ONCE = 1024 * 1024
_WEBP_KNOWN = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ")
_JPEG_NEXT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker that ends what an encoder wrote as pixels: neither a stuffed byte, a restart nor filling."""
_JFIF = re.compile(rb"JFIF\x00\x01.{6}\x00\x00", re.DOTALL)
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_JPEG_BASELINE = (0xC0, 0xC1)
_APP0, _APP14, _DQT, _DHT = 0xE0, 0xEE, 0xDB, 0xC4

Chunk: TypeAlias = tuple[bytes, memoryview]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A file's parts. `tail` is where the compressed pixels of a bare file end, where its decoder may stop earlier."""

    decoded: bytes
    bare: bool = False
    surplus: int = 0
    tail: int | None = None


def parts(data: bytes, content_type: str) -> Parts:
    """Returns the parts of a PNG, JPEG or WebP file; of any other, or a broken one, only the whole."""
    match content_type:
        case "image/png":
            return _png(data)
        case "image/jpeg":
            return _jpeg(data)
        case "image/webp":
            return _webp(data)
        case _:
            return Parts(decoded=data)


def shortened(data: bytes, content_type: str, tail: int, by: int) -> bytes:
    """Returns a bare file without the last `by` bytes of its compressed pixels."""
    rest = data[: tail - by] + data[tail:]
    if content_type != "image/webp":
        return rest
    # The lengths in its header must match.
    size = int.from_bytes(data[16:20], "little") - by
    return b"RIFF" + (len(rest) - 8).to_bytes(4, "little") + rest[8:16] + size.to_bytes(4, "little") + rest[20:]


def _png(data: bytes) -> Parts:
    chunks, end = [], len(_PNG_HEAD)
    for name, whole in _png_chunks(data):
        chunks.append((name, whole))
        end += len(whole)
    if not chunks or chunks[-1][0] != b"IEND":
        return Parts(decoded=data)
    unknown = sum(len(whole) for name, whole in chunks if name not in _PNG_KNOWN)
    texts = [whole for name, whole in chunks if name in _PNG_TEXTS]
    # Texts may be of any size, and Pillow takes one named like a property for it.
    dropped = [whole for whole in texts if not _tells_orientation(whole)]
    decoded = data
    if dropped:
        kept = (whole for name, whole in chunks if name not in _PNG_TEXTS or _tells_orientation(whole))
        decoded = b"".join((_PNG_HEAD, *kept))
    return Parts(decoded=decoded, bare=end == len(data) and _is_bare_png(chunks), surplus=unknown + len(data) - end)


def _png_chunks(data: bytes) -> Iterator[Chunk]:
    view, at = memoryview(data), len(_PNG_HEAD)
    while at + 12 <= len(data):
        size = 12 + int.from_bytes(view[at : at + 4])
        if at + size > len(data):
            return
        name = bytes(view[at + 4 : at + 8])
        yield name, view[at : at + size]
        if name == b"IEND":
            return
        at += size


def _tells_orientation(whole: memoryview) -> bool:
    if len(whole) > _TEXT_BYTES or not bytes(whole[8:40]).startswith(_PNG_ORIENTATION):
        return False
    name, body = bytes(whole[4:8]), whole[8:-4].tobytes().partition(b"\0")[2]
    if name == b"tEXt" or (name == b"iTXt" and body[:1] == b"\0"):
        return True
    # After the method; or after the method, a language and a keyword.
    packed = body[1:] if name == b"zTXt" else body[2:].split(b"\0", 2)[-1]
    inflate = zlib.decompressobj()
    try:
        inflate.decompress(packed, _TEXT_BYTES)
    except zlib.error:
        return False
    return not inflate.unconsumed_tail


def _is_bare_png(chunks: list[Chunk]) -> bool:
    names = [name for name, _ in chunks]
    single = [name for name in names if name != b"IDAT"]
    first, count = (names.index(b"IDAT"), names.count(b"IDAT")) if b"IDAT" in names else (0, 0)
    if len(set(single)) < len(single) or not {b"IHDR", b"IDAT", b"IEND"} <= set(names) <= {b"IDAT", *_PNG_SIZES}:
        return False
    if names[0] != b"IHDR" or names[first : first + count] != [b"IDAT"] * count:
        return False
    for name, whole in chunks:
        if name != b"IDAT" and len(whole) - 12 != _PNG_SIZES[name]:
            return False
        if zlib.crc32(whole[4:-4]) != int.from_bytes(whole[-4:]):
            return False
    head = chunks[0][1][8:21]
    width, height = int.from_bytes(head[:4]), int.from_bytes(head[4:8])
    depth, colours, interlaced = head[8], head[9], head[12]
    if colours != 2 or interlaced:
        return False
    return _inflates_to(
        [whole[8:-4] for name, whole in chunks if name == b"IDAT"], height * (1 + width * 3 * depth // 8)
    )


def _inflates_to(pieces: list[memoryview], size: int) -> bool:
    """Returns whether the pieces are one compressed stream of exactly this size, with nothing after it."""
    inflate = zlib.decompressobj()
    try:
        for piece in pieces:
            if inflate.eof and len(piece):
                return False
            rest: bytes | memoryview = piece
            while len(rest) and not inflate.eof:
                size -= len(inflate.decompress(rest, _INFLATED_AT_ONCE))
                if size < 0:
                    return False
                rest = inflate.unconsumed_tail
    except zlib.error:
        return False
    return inflate.eof and not inflate.unused_data and size == 0


def _jpeg(data: bytes) -> Parts:
    at, bare, scans, tail = 2, True, 0, 0
    given: list[int] = []
    needed: set[int] = set()
    while True:
        marker = data[at : at + 2]
        if len(marker) < 2 or marker[0] != 0xFF:
            return Parts(decoded=data)
        kind = marker[1]
        if kind == 0xFF:
            at, bare = at + 1, False
            continue
        if kind == _EOI:
            end = at + 2
            tail = at
            break
        size = int.from_bytes(data[at + 2 : at + 4])
        if kind in (_SOI, 0x01) or 0xD0 <= kind <= 0xD7 or size < 2:
            return Parts(decoded=data)
        body = data[at + 4 : at + 2 + size]
        bare = bare and _is_needed(kind, body)
        given += _tables(kind, body)
        if bare and kind in _JPEG_BASELINE:
            needed |= {_DQT << 8 | body[at] for at in range(8, len(body), 3)}
        elif bare and kind == _SOS:
            for choice in body[2 : 2 + 2 * body[0] : 2]:
                needed |= {_DHT << 8 | choice >> 4, _DHT << 8 | 0x10 | choice & 0xF}
        at += 2 + size
        if kind == _SOS:
            scans += 1
            found = _JPEG_NEXT.search(data, at)
            if found is None:
                return Parts(decoded=data)
            at = found.start()
    bare = bare and scans == 1 and sorted(given) == sorted(needed) and end == len(data)
    return Parts(decoded=data, bare=bare, surplus=len(data) - end, tail=tail)


def _is_needed(kind: int, body: bytes) -> bool:
    """Returns whether a JPEG's segment only serves its pixels. Many scans or restarts can hide other data."""
    if kind == _APP0:
        return len(body) == 14 and _JFIF.fullmatch(body) is not None
    if kind == _APP14:
        return len(body) == 12 and body.startswith(b"Adobe")
    if kind in _JPEG_BASELINE:
        return len(body) >= 6 and len(body) == 6 + 3 * body[5]
    if kind == _SOS:
        return len(body) >= 1 and len(body) == 4 + 2 * body[0]
    return kind in (_DQT, _DHT)


def _tables(kind: int, body: bytes) -> list[int]:
    """Returns the tables of a segment as its kind and their numbers; -1 for a malformed one."""
    found: list[int] = []
    at = 0
    while kind in (_DQT, _DHT) and at < len(body):
        found.append(kind << 8 | body[at] & (0x0F if kind == _DQT else 0xFF))
        at += 1 + 64 * (1 + (body[at] >> 4)) if kind == _DQT else 17 + sum(body[at + 1 : at + 17])
    return found if at == len(body) or kind not in (_DQT, _DHT) else [-1]


def _webp(data: bytes) -> Parts:
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    at, unknown, names = 12, 0, []
    while at + 8 <= end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        names.append(data[at : at + 4])
        if names[-1] not in _WEBP_KNOWN:
            unknown += 8 + size
        at += 8 + size + size % 2
    bare = names in ([b"VP8 "], [b"VP8L"]) and at == end == len(data)
    return Parts(
        decoded=data,
        bare=bare,
        surplus=max(0, len(data) - end) + min(unknown, len(data)),
        tail=20 + int.from_bytes(data[16:20], "little") if bare else None,
    )
