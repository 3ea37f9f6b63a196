"""Films are signed by C2PA with what they show as ingredients, and keys that cannot sign are refused in words."""

import json
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from evergreen_server.media.provenance.signer import Signer
from evergreen_server.ports.signing import Ingredient, Signed, SignOrder, SignRefused
from evergreen_server.runtime.reload import FileUnusable
from tests.media.certificates import Key, write_chain
from tests.media.render.reel import clip


def signer_of(folder: Path, key: Key | None = None, **given: Any) -> Signer:
    certificates, private = write_chain(folder / "keys", key)
    return Signer(**{"certificates": certificates, "key": private, **given})


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """What the library finds: whether the file is as it was signed, and its manifest."""
    with path.open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        document = json.loads(reader.json())
        return str(reader.get_validation_state()), document["manifests"][document["active_manifest"]]


async def signed(signer: Signer, film: Path, out: Path, *ingredients: Ingredient) -> Signed:
    return await signer.sign(SignOrder(film=film, out=out, title=out.name, ingredients=ingredients))


async def test_a_film_is_signed_with_its_clips_as_ingredients_and_a_flipped_bit_is_found(tmp_path: Path) -> None:
    signer, own = signer_of(tmp_path), clip(tmp_path / "own.mp4", frames=24)
    film, still = clip(tmp_path / "film.mp4", frames=48), tmp_path / "still.copy"
    Image.new("RGB", (64, 36)).save(still, "PNG")
    first = await signed(signer, own, tmp_path / "provider.mp4")

    whole = await signed(
        signer,
        film,
        tmp_path / "signed.mp4",
        Ingredient(title="scene-1/videos/a.mp4", path=tmp_path / "provider.mp4"),
        Ingredient(title="scene-2/videos/b.mp4", path=own),
        Ingredient(title="scene-3/images/c.png", path=still),
    )

    path = tmp_path / "signed.mp4"
    state, manifest = read(path)
    data = path.read_bytes()
    assert (whole.size_bytes, whole.sha256) == (len(data), sha256(data).hexdigest())
    assert (state, manifest["title"], whole.claim[:9]) == ("Valid", "signed.mp4", "urn:c2pa:")
    named = [(each["title"], each["relationship"]) for each in manifest["ingredients"]]
    assert named == [
        (title, "componentOf") for title in ("scene-1/videos/a.mp4", "scene-2/videos/b.mp4", "scene-3/images/c.png")
    ]
    # What the provider has signed is told with it.
    assert [each.get("active_manifest") for each in manifest["ingredients"]] == [first.claim, None, None]
    (path.parent / "bad.mp4").write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    assert read(path.parent / "bad.mp4")[0] == "Invalid"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["P-384", "RSA", "Ed25519"],
)
async def test_keys_of_each_kind_sign(tmp_path: Path, make: Callable[[], Key]) -> None:
    await signer_of(tmp_path, make()).check()


def _other_key(certificates: Path, key: Path) -> None:
    key.write_bytes(write_chain(key.parent / "other")[1].read_bytes())


def _encrypted(certificates: Path, key: Path) -> None:
    write_chain(key.parent, secret=b"sesame")


def _no_chain(certificates: Path, key: Path) -> None:
    certificates.write_bytes(b"sesame")


def _no_signatures(certificates: Path, key: Path) -> None:
    write_chain(key.parent, ec.generate_private_key(ec.SECP224R1()))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_other_key, "films cannot be signed with EVERGREEN_C2PA_CERT and EVERGREEN_C2PA_KEY"),
        (_encrypted, "no unencrypted private key"),
        (_no_chain, "EVERGREEN_C2PA_CERT"),
        (_no_signatures, "take one on the curve P-256"),
        (lambda _certificates, key: key.unlink(), "No such file"),
        (lambda _certificates, key: key.write_bytes(b""), "no unencrypted private key"),
    ],
    ids=range(6),
)
async def test_keys_that_cannot_sign_are_refused(
    tmp_path: Path, spoil: Callable[[Path, Path], object], text: str
) -> None:
    certificates, key = write_chain(tmp_path / "keys")
    spoil(certificates, key)

    with pytest.raises(FileUnusable, match=text) as refused:
        await Signer(certificates=certificates, key=key).check()

    assert "sesame" not in str(refused.value)


async def test_without_the_extra_the_server_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)

    with pytest.raises(FileUnusable, match=r"evergreen-video\[provenance\]"):
        await signer_of(tmp_path).check()


async def test_a_signer_that_hangs_is_ended(tmp_path: Path) -> None:
    key = tmp_path / "pipe"
    os.mkfifo(key)
    film, certificates = clip(tmp_path / "film.mp4", frames=24), write_chain(tmp_path / "keys")[0]
    hanging = Signer(certificates=certificates, key=key, start_seconds=0.5)

    with pytest.raises(SignRefused, match="took longer"):
        await signed(hanging, film, tmp_path / "out.mp4")


async def test_a_film_that_is_none_is_not_signed(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"no film" * 100)

    with pytest.raises(SignRefused):
        await signed(signer_of(tmp_path), film, tmp_path / "out.mp4")
    with pytest.raises(SignRefused, match="No such file"):
        await signed(signer_of(tmp_path), tmp_path / "none.mp4", tmp_path / "out.mp4")
