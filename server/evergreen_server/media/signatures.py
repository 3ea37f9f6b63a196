"""Finds out what a file is by its first bytes, since neither its name nor its declared type is evidence."""

import re

from evergreen_server.ports.media import HEAD_BYTES as HEAD_BYTES
from evergreen_server.ports.specs import Kind

PICTURE_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
"""The pictures that can be read, with Pillow's names."""
DEMUXERS = {
    "video/mp4": "mp4",
    "video/quicktime": "mp4",
    "video/3gpp": "mp4",
    "audio/mp4": "mp4",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/ogg": "ogg",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/aac": "aac",
}
"""The videos and sounds that can be read, with FFmpeg's names."""

_FIXED = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x7fELF", "application/x-elf"),
    (b"MZ", "application/x-msdos-program"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"crx ": "image/x-canon-cr3",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
}
_AS_SOUND = {
    "video/mp4": "audio/mp4",
    "video/quicktime": "audio/mp4",
    "video/webm": "audio/webm",
    "video/ogg": "audio/ogg",
}
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_MARKUP = re.compile(rb"<(!doctype|!--|\?xml|html|head|body|script|svg|title|meta|[a-z])", re.IGNORECASE)
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def sniff(head: bytes) -> str | None:
    """Returns the content type of a file by its first HEAD_BYTES; None if they are of no known kind."""
    for prefix, content_type in _FIXED:
        if head.startswith(prefix):
            return content_type
    return _container(head) or _sound(head) or _text(head)


def misfit(head: bytes, kind: Kind) -> str:
    """Returns why a file with these first HEAD_BYTES can never be used as this kind; empty if it may be."""
    if not head:
        return f"the {'picture' if kind is Kind.PICTURE else 'file'} is empty"
    found = sniff(head)
    if found in (PICTURE_FORMATS if kind is Kind.PICTURE else DEMUXERS):
        return ""
    if kind is not Kind.PICTURE:
        return f"the file is {found or 'of no known kind'}, not a video or sound that can be read"
    if found is None or found.startswith("image/"):
        return f"the picture's format is not one that can be read; use {', '.join(PICTURE_FORMATS)}"
    return f"the file is {found}, not a picture"


def as_sound(content_type: str) -> str:
    """Returns the content type of a container that holds only sound."""
    return _AS_SOUND.get(content_type, content_type)


def _container(head: bytes) -> str | None:
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "image/bmp"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"mif1", b"msf1") and b"avif" in head[16 : int.from_bytes(head[:4], "big")]:
            return "image/avif"
        return _BRANDS.get(brand, "video/3gpp" if brand.startswith(b"3g") else "video/mp4")
    if head[4:8] in _QUICKTIME_ATOMS:
        return "video/quicktime"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head.startswith(b"OggS"):
        return "video/ogg" if b"theora" in head[:128] else "audio/ogg"
    return None


def _sound(head: bytes) -> str | None:
    if len(head) < 4 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    is_layer_three = head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
    return "audio/mpeg" if is_layer_three and head[2] & 0xF0 not in (0x00, 0xF0) else None


def _text(head: bytes) -> str | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _MARKUP.match(text):
        return "text/html"
    return "text/plain" if text and not _NOT_TEXT.search(text) and _is_utf8(text) else None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as exc:
        # A character may be cut off at the end of the head.
        return exc.start >= len(text) - 3
    return True
