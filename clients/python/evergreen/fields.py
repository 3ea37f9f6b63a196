"""What a caller may give by keyword: a misspelt field is refused before anything is sent, and paid for."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar, cast

Verb = TypeVar("Verb", bound=Callable[..., object])

LISTS = frozenset(
    {"actions", "film_ids", "job_ids", "kinds", "media", "models", "project_ids", "references", "states", "types"}
)
"""Fields that hold several values. A string has several, too: its characters."""

_TEXTS = frozenset(
    {"film_id", "job_id", "language", "model", "path", "project_id", "prompt_text", "provider_task_id", "ratio"}
    | {"request_id", "scene_id", "script", "text", "voice"}
)
_NUMBERS = frozenset(
    {"after_revision", "duration_seconds", "max_attempts", "max_credits", "output_count", "page_size"}
    | {"plan_revision", "priority", "run", "seed"}
)
_TIMES = frozenset({"created_before", "created_from", "finish_by", "start_by"})
_IDS = frozenset({"film_ids", "job_ids", "models"})
"""Lists of texts alone."""


def check_fields(kind: Any, fields: Mapping[str, object]) -> None:
    """Raises TypeError, naming every one, for fields that `kind` (a TypedDict) has not, for fields that it lacks, for a
    string where a list is meant, and for texts, ids, numbers, times and labels that are none."""
    required: frozenset[str] = kind.__required_keys__
    known = required | kind.__optional_keys__
    faults = [f"there is no {name!r}{_nearest(name, known)}" for name in fields if name not in known]
    faults += [f"{name!r} is missing" for name in sorted(required) if fields.get(name) is None]
    faults += _faults_of_values(fields)
    if faults:
        raise TypeError("; ".join(faults))


def check_values(**fields: object) -> None:
    """Raises TypeError for a string where a list is meant, and for texts, numbers, times and labels that are none."""
    if faults := _faults_of_values(fields):
        raise TypeError("; ".join(faults))


def checked(verb: Verb) -> Verb:
    """Returns a method that raises TypeError for names that it does not have, with the nearest, and for such values."""
    code = cast(FunctionType, verb).__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    known = frozenset(names)

    @wraps(verb)
    def call(self: object, *arguments: object, **fields: object) -> object:
        if unknown := [f"there is no {name!r}{_nearest(name, known)}" for name in fields if name not in known]:
            raise TypeError("; ".join(unknown))
        check_values(**dict(zip(names, arguments, strict=False)), **fields)
        return verb(self, *arguments, **fields)

    return cast(Verb, call)


def _faults_of_values(fields: Mapping[str, object]) -> list[str]:
    faults = [
        f"{name!r} must be a list, not {type(value).__name__}: write [{value!r}]"
        for name, value in fields.items()
        if name in LISTS and isinstance(value, str)
    ]
    for name, value in fields.items():
        if value is None:
            continue
        if name in _TEXTS and not isinstance(value, str):
            faults.append(f"{name!r} must be text, not {type(value).__name__}")
        elif name in _NUMBERS and (not isinstance(value, (int, float)) or isinstance(value, bool)):
            faults.append(f"{name!r} must be a number, not {type(value).__name__}")
        elif name in _TIMES and not isinstance(value, datetime):
            faults.append(f"{name!r} must be a datetime, not {type(value).__name__}")
        elif name in _IDS and not isinstance(value, str):
            faults += _faults_of_ids(name, value)
    options = fields.get("options")
    if options is not None and not isinstance(options, Mapping):
        faults.append(f"'options' must be a mapping, not {type(options).__name__}")
    labels = fields.get("labels")
    if labels is not None and not isinstance(labels, Mapping):
        faults.append(f"'labels' must be a mapping of texts, not {type(labels).__name__}")
    elif labels:
        faults += [
            f"'labels' must hold texts alone, and {name!r} is {value!r}"
            for name, value in labels.items()
            if not isinstance(name, str) or not isinstance(value, str)
        ]
    return faults


def _faults_of_ids(name: str, values: object) -> list[str]:
    if not isinstance(values, Iterable):
        return [f"{name!r} must be a list, not {type(values).__name__}"]
    if not isinstance(values, Collection):
        # What can be read only once is left to the request.
        return []
    wrong = next((each for each in values if not isinstance(each, str)), "")
    return [] if isinstance(wrong, str) else [f"{name!r} must hold texts alone, not {type(wrong).__name__}"]


def _nearest(name: str, known: frozenset[str]) -> str:
    # What other APIs write in camel case, and what is cut short, is near as well.
    plain = {each.replace("_", ""): each for each in known}
    found = get_close_matches(name.replace("_", "").lower(), plain, n=1, cutoff=0.6)
    return f" (did you mean {plain[found[0]]!r}?)" if found else ""
