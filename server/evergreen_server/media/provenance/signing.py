"""Signs a film as C2PA says, with the library, and reads what it has signed."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import c2pa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from PIL import Image

__all__ = ["check", "sign"]

_SOURCE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""Cut together from what models have made, and maybe from what they have not."""
_TYPES: Final = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
_MOST_KEY_BYTES: Final = 1024 * 1024
_CURVES: Final = {256: b"es256", 384: b"es384", 521: b"es512"}


class Unsigned(Exception):
    """Why nothing was signed; without anything that is secret."""


def check(certificates: Path, key: Path) -> None:
    """Signs a picture of one pixel, and reads it back. Raises Unsigned, C2paError, OSError."""
    picture, out = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "PNG")
    _sign(certificates, key, picture, out, form="image/png", title="check", ingredients=())


def sign(
    certificates: Path, key: Path, *, film: Path, out: Path, title: str, ingredients: Sequence[Mapping[str, str]]
) -> dict[str, object]:
    """Signs a film; returns the members of `Signed`. Raises Unsigned, C2paError, OSError."""
    with film.open("rb") as source, out.open("w+b") as target:
        claim = _sign(certificates, key, source, target, form="video/mp4", title=title, ingredients=ingredients)
        target.seek(0)
        digest = hashlib.file_digest(target, "sha256").hexdigest()
    return {"claim": claim, "size_bytes": out.stat().st_size, "sha256": digest}


def _sign(
    certificates: Path,
    key: Path,
    source: IO[bytes],
    target: IO[bytes],
    *,
    form: str,
    title: str,
    ingredients: Sequence[Mapping[str, str]],
) -> str:
    """Returns the label of the manifest."""
    chain, private = _read(certificates), _read(key)
    info = c2pa.C2paSignerInfo(_algorithm(private), chain, private, None)
    ids = [f"ingredient-{number}" for number, _ in enumerate(ingredients, start=1)]
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(_manifest(title, form, ids)) as builder:
        for label, each in zip(ids, ingredients, strict=True):
            path, about = Path(each["path"]), {"title": each["title"], "relationship": "componentOf", "label": label}
            with path.open("rb") as file:
                form_of = _TYPES.get(Path(each["title"]).suffix.lower()) or _sniffed(file)
                builder.add_ingredient(about, form_of, file)
        builder.sign(signer, form, source, target)
    target.seek(0)
    return _claim(target, form)


def _manifest(title: str, form: str, ids: Sequence[str]) -> dict[str, Any]:
    created = {"action": "c2pa.created", "digitalSourceType": _SOURCE}
    placed = [{"action": "c2pa.placed", "parameters": {"ingredientIds": [label]}} for label in ids]
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [created, *placed]}}
    return {
        "claim_generator_info": [{"name": "Evergreen"}],
        "title": title,
        "format": form,
        "assertions": [actions],
    }


def _claim(signed: IO[bytes], form: str) -> str:
    """Returns the label of the manifest of a file whose signature and bytes are right. Raises Unsigned."""
    with c2pa.Reader(form, signed) as reader:
        # Whom it trusts is for its reader to say; what was signed must be whole.
        if reader.get_validation_state() not in ("Valid", "Trusted"):
            results = json.dumps(reader.get_validation_results() or {})
            codes = sorted({part.split('"')[0] for part in results.split('"code": "')[1:]})
            raise Unsigned(f"the signed file is not valid: {', '.join(codes)}")
        return str(json.loads(reader.json())["active_manifest"])


def _algorithm(private: bytes) -> bytes:
    """Returns what C2PA calls the signatures of a key. Raises Unsigned."""
    try:
        key = load_pem_private_key(private, None)
    except (ValueError, TypeError) as exc:
        raise Unsigned("the key is no unencrypted private key in PEM") from exc
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.key_size in _CURVES:
            return _CURVES[key.curve.key_size]
        case rsa.RSAPrivateKey():
            return b"ps256"
        case ed25519.Ed25519PrivateKey():
            return b"ed25519"
        case _:
            raise Unsigned("C2PA has no signatures of such a key; take one on the curve P-256")


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_KEY_BYTES)


def _sniffed(file: IO[bytes]) -> str:
    """Returns the type of a picture. Raises Unsigned."""
    try:
        with Image.open(file) as image:
            form = Image.MIME.get(image.format or "")
    except OSError as exc:
        raise Unsigned("a file that the film was made from has no known type") from exc
    file.seek(0)
    return form or "image/png"
