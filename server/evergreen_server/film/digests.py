"""What an output was made from, and so whether it still stands for the plan.

The basis of an output is the request that makes it, distinguished by what callers know: text, voice, references, model.
Its digest names the job that makes it, so that whoever asks again for the same finds the same job, and pays nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from evergreen_server.jobs.model.names import FILM_REQUESTS

__all__ = [
    "Basis",
    "Currency",
    "Json",
    "Member",
    "Redo",
    "Standing",
    "base_digest",
    "digest_of",
    "renews",
    "request_id",
    "sha256_of",
    "stale_because",
]

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None


class Member(StrEnum):
    """What of a request changed, as callers read it."""

    PROMPT = "PROMPT"
    REFERENCE = "REFERENCE"
    """Pictures of the cast, by the SHA-256 of their bytes."""
    FIRST_FRAME = "FIRST_FRAME"
    TEXT = "TEXT"
    VOICE = "VOICE"
    LANGUAGE = "LANGUAGE"
    SIZE = "SIZE"
    LENGTH = "LENGTH"
    OPTIONS = "OPTIONS"
    AUDIO = "AUDIO"
    MODEL = "MODEL"
    SEED = "SEED"
    REDO = "REDO"
    """How often the caller asked for it anew."""


Basis: TypeAlias = Mapping[Member, Json]
"""The members of one output's request. Files stand in it by the SHA-256 of their bytes, never by name."""

_NOT_CONTENT: Final = frozenset({Member.MODEL, Member.SEED})


class Currency(StrEnum):
    """How an output stands to the plan. It is computed on reading, and never stored."""

    MISSING = "MISSING"
    CURRENT = "CURRENT"
    STALE = "STALE"
    """Usable, and made from something else than the plan says now; never renewed by itself."""
    BLOCKED = "BLOCKED"
    """Nobody can tell, since the store cannot be read: a fault must not become a bill."""


class Redo(StrEnum):
    """What a run makes anew."""

    CHANGED = "CHANGED"
    CONTENT_CHANGED = "CONTENT_CHANGED"
    """As CHANGED, but another model or seed alone renews nothing."""
    MISSING = "MISSING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The currency of an output, and the members that differ if it is stale, in the order of `Member`."""

    currency: Currency
    because: tuple[Member, ...] = ()

    @classmethod
    def of(cls, *, made: Basis | None, wanted: Basis, there: bool | None) -> "Standing":
        """Returns how an output stands that was made from `made`, None if never, while the plan wants `wanted`.

        `there` says whether its file is in the store; None that the store could not be asked.
        """
        if made is None or there is False:
            return cls(currency=Currency.MISSING)
        if there is None:
            return cls(currency=Currency.BLOCKED)
        because = stale_because(made, wanted)
        return cls(currency=Currency.STALE if because else Currency.CURRENT, because=because)


def stale_because(made: Basis, wanted: Basis) -> tuple[Member, ...]:
    """Returns the members in which two bases differ, also by one having it alone, in the order of `Member`."""
    return tuple(
        member
        for member in Member
        if (member in made) != (member in wanted) or _canonical(made.get(member)) != _canonical(wanted.get(member))
    )


def renews(redo: Redo, standing: Standing) -> bool:
    """Returns whether a run with this redo makes the output anew."""
    if standing.currency is Currency.MISSING:
        return True
    if standing.currency is not Currency.STALE or redo is Redo.MISSING:
        return False
    return redo is Redo.CHANGED or not _NOT_CONTENT.issuperset(standing.because)


def base_digest(*, film: str, shot: str, output: str, basis: Basis) -> str:
    """Returns the SHA-256 (hex) of what an output is made from, the same for each of its takes."""
    return sha256_of(
        {"film": film, "shot": shot, "output": output, "basis": {str(member): value for member, value in basis.items()}}
    )


def digest_of(base: str, take: int) -> str:
    """Returns the SHA-256 (hex) of one take of an output; takes count from 1."""
    if take < 1:
        raise ValueError(f"takes count from 1, not {take}")
    return sha256_of({"base": base, "take": take})


def request_id(digest: str) -> str:
    """Returns the request_id of the job that makes an output, of 79 characters."""
    return FILM_REQUESTS + digest


def sha256_of(value: Json) -> str:
    """Returns the SHA-256 (hex) of a value as canonical JSON."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: Json) -> bytes:
    """Returns JSON with its keys in order and no space. Raises ValueError for what JSON has no number for, as NaN.

    A whole number is written alike whether it came as 5 or 5.0, as it does from a Struct.
    """
    text = json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def _whole(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _whole(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_whole(item) for item in value]
    return value
