"""The forms in which a film is exported: those known by name, and what callers say of their own."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Final

from evergreen_server.film.model import MAX_PROFILES
from evergreen_server.ports.specs import FieldError
from evergreen_server.ports.timeline import (
    FRAME_RATES,
    LOUDNESS_LUFS,
    RATE_FACTORS,
    SIDES,
    Captions,
    Fit,
    Profile,
)
from evergreen_storage.keys import id_error

__all__ = ["KNOWN", "profiles_of", "shape_of", "suggested"]

KNOWN: Final[Mapping[str, tuple[int, int]]] = {
    "wide": (1280, 720),
    "tall": (720, 1280),
    "square": (960, 960),
    "wide1080": (1920, 1080),
    "tall1080": (1080, 1920),
    "square1080": (1080, 1080),
}
"""Width and height in pixels."""

_SHORT_SIDE: Final = 720


def shape_of(aspect: str) -> float:
    """Returns width / height of an aspect such as `16:9`."""
    width, _, height = aspect.partition(":")
    return int(width) / int(height)


def suggested(aspect: str) -> Profile:
    """Returns the profile of a film that names none: its short side has 720 pixels, a square one's 960."""
    for name in ("wide", "tall", "square"):
        width, height = KNOWN[name]
        if abs(width / height - shape_of(aspect)) < 0.01:
            return Profile(name=name, width=width, height=height)
    shape = shape_of(aspect)
    long = min(SIDES[1], 2 * round(_SHORT_SIDE * max(shape, 1 / shape) / 2))
    if shape > 1:
        return Profile(name="wide", width=long, height=_SHORT_SIDE)
    return Profile(name="tall", width=_SHORT_SIDE, height=long)


def profiles_of(
    given: Sequence[Mapping[str, object]], faults: list[FieldError], *, field: str = "profiles"
) -> tuple[Profile, ...]:
    """Returns the profiles that a caller gives by the fields of an ExportProfile; what is wrong is added to `faults`.

    "", 0 and None are not given. A profile of a known name needs no width and height.
    """
    if len(given) > MAX_PROFILES:
        faults.append(FieldError(field=field, description=f"At most {MAX_PROFILES} profiles are taken."))
        return ()
    profiles: list[Profile] = []
    names: set[str] = set()
    for index, one in enumerate(given):
        at = f"{field}[{index}]"
        found = list(_faults(one, at))
        name = str(one.get("name") or "")
        if name.casefold() in names:
            found.append(FieldError(field=f"{at}.name", description=f"The name {name} is taken by another profile."))
        names.add(name.casefold())
        faults += found
        if not found:
            profiles.append(_profile(one))
    return tuple(profiles)


def _profile(one: Mapping[str, object]) -> Profile:
    name = str(one["name"])
    usual = KNOWN.get(name, (0, 0))
    width, height = (int(_number(one, side) or size) for side, size in zip(("width", "height"), usual, strict=True))
    plain = Profile(name=name, width=width, height=height)
    return Profile(
        name=name,
        width=width,
        height=height,
        fps=int(_number(one, "fps")) or plain.fps,
        fit=fit if isinstance(fit := one.get("fit"), Fit) else plain.fit,
        loudness_lufs=_number(one, "loudness_lufs") or plain.loudness_lufs,
        captions=captions if isinstance(captions := one.get("captions"), Captions) else plain.captions,
        crf=int(_number(one, "crf")) or plain.crf,
    )


def _faults(one: Mapping[str, object], at: str) -> Iterator[FieldError]:
    name = str(one.get("name") or "")
    if text := id_error("scene", name):
        yield FieldError(field=f"{at}.name", description=text.replace("scene id", "name of a profile") + ".")
    for side in ("width", "height"):
        size = _number(one, side)
        if not size and name not in KNOWN:
            known = ", ".join(KNOWN)
            text = f"Required, unless the name is one of {known}."
            yield FieldError(field=f"{at}.{side}", description=text)
        elif size and not (SIDES[0] <= size <= SIDES[1] and size % 2 == 0):
            yield FieldError(field=f"{at}.{side}", description=f"An even number from {SIDES[0]} to {SIDES[1]}.")
    for member, (low, high), whole in (
        ("fps", FRAME_RATES, True),
        ("loudness_lufs", LOUDNESS_LUFS, False),
        ("crf", RATE_FACTORS, True),
    ):
        value = _number(one, member)
        if not isfinite(value) or (value and not low <= value <= high) or (whole and not value.is_integer()):
            kind = "A whole number" if whole else "A number"
            yield FieldError(field=f"{at}.{member}", description=f"{kind} from {low:g} to {high:g}.")


def _number(one: Mapping[str, object], name: str) -> float:
    value = one.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
