"""Rules between fields of a body of text_to_image, as the provider documents them in words."""

from collections.abc import Iterator, Mapping

from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.catalog.rows.vocabulary import Check
from evergreen_server.providers.runway.catalog.rules import Issue, custom

__all__ = [
    "Check", "distinct_tags", "edit_needs_reference", "ideogram_edit", "ideogram_sizes", "size_of_several", "subjects",
]  # fmt: skip

Body = Mapping[str, Json]

MOST_SUBJECTS = {"human": 5, "object": 9}
STAND_INS = {"1280:720": "1024:576", "720:1280": "576:1024", "1440:720": "1408:704", "720:1440": "704:1408"}
"""The sizes of ideogram_4_5 from text alone, and those that take their place with references."""


def _references(body: Body) -> list[Json]:
    given = body.get("referenceImages")
    return given if isinstance(given, list) else []


def distinct_tags(body: Body) -> Iterator[Issue]:
    """Checks that no two references have the same tag."""
    seen = set[str]()
    for index, item in enumerate(_references(body)):
        tag = item.get("tag") if isinstance(item, dict) else None
        if isinstance(tag, str):
            if tag in seen:
                yield custom(("referenceImages", index, "tag"), "No two images may share the same tag.")
            seen.add(tag)


def subjects(body: Body) -> Iterator[Issue]:
    """Checks how many references show people, and how many objects, which a reference without a subject does."""
    shown = [item.get("subject", "object") for item in _references(body) if isinstance(item, dict)]
    for subject, most in MOST_SUBJECTS.items():
        if (count := shown.count(subject)) > most:
            yield custom(("referenceImages",), f"At most {most} references have the subject {subject}, not {count}.")


def edit_needs_reference(body: Body) -> Iterator[Issue]:
    """Checks that there is a picture to edit."""
    if body.get("edit") is True and not _references(body):
        yield custom(("edit",), "edit needs at least one reference image.")


def size_of_several(body: Body) -> Iterator[Issue]:
    """Checks that a size is chosen only where several pictures are combined: a single one keeps its framing."""
    if body.get("ratio", "auto") != "auto" and len(_references(body)) < 2:
        yield custom(("ratio",), "Choosing a size needs at least 2 reference images; one keeps its own framing.")


def ideogram_edit(body: Body) -> Iterator[Issue]:
    """Checks that an edit has a picture, keeps its size, and is not made at the lowest quality."""
    precise, references = body.get("preciseEdit") is True, _references(body)
    if (precise or "maskUri" in body) and "ratio" in body:
        yield custom(("ratio",), "ratio is not available with maskUri or preciseEdit, which keep the picture's size.")
    for name, chosen in (("preciseEdit", precise), ("maskUri", "maskUri" in body)):
        if chosen and not references:
            yield custom((name,), f"{name} needs at least one reference image, the first of which is edited.")
    if body.get("quality") == "very_low" and (precise or not references):
        yield custom(("quality",), "very_low needs reference images, and is not available with preciseEdit.")


def ideogram_sizes(body: Body) -> Iterator[Issue]:
    """Checks that a wide size is the one for a picture with, or without, references."""
    ratio, references = body.get("ratio"), bool(_references(body))
    for plain, stand_in in STAND_INS.items():
        if ratio == plain and references:
            yield custom(("ratio",), f"With reference images use {stand_in} instead of {plain}.")
        if ratio == stand_in and not references:
            yield custom(("ratio",), f"{stand_in} needs reference images; use {plain}.")
