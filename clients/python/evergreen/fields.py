"""What a caller may give by keyword: a misspelt field is refused before anything is sent, and paid for."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

LISTS = frozenset(
    {"actions", "film_ids", "job_ids", "kinds", "media", "models", "project_ids", "references", "states", "types"}
)
"""Fields that hold several values. A string has several, too: its characters."""


def check_fields(kind: Any, fields: Mapping[str, object]) -> None:
    """Raises TypeError, naming every one, for fields that `kind` (a TypedDict) has not, for fields that it lacks, for a
    string where a list is meant, and for labels that are not texts."""
    required: frozenset[str] = kind.__required_keys__
    known = required | kind.__optional_keys__
    faults = [f"there is no {name!r}{_nearest(name, known)}" for name in fields if name not in known]
    faults += [f"{name!r} is missing" for name in sorted(required) if name not in fields]
    faults += _faults_of_values(fields)
    if faults:
        raise TypeError("; ".join(faults))


def check_lists(**fields: object) -> None:
    """Raises TypeError for a string where a list is meant."""
    if faults := _faults_of_values(fields):
        raise TypeError("; ".join(faults))


def _faults_of_values(fields: Mapping[str, object]) -> list[str]:
    faults = [
        f"{name!r} must be a list, not {type(value).__name__}: write [{value!r}]"
        for name, value in fields.items()
        if name in LISTS and isinstance(value, str)
    ]
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


def _nearest(name: str, known: frozenset[str]) -> str:
    # What other APIs write in camel case, and what is cut short, is near as well.
    plain = {each.replace("_", ""): each for each in known}
    found = get_close_matches(name.replace("_", "").lower(), plain, n=1, cutoff=0.6)
    return f" (did you mean {plain[found[0]]!r}?)" if found else ""
