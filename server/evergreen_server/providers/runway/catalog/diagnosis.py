"""Finds everything wrong with a caller's request, each error at the caller's own field."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from evergreen_server.ports.specs import (
    CLIPS,
    FieldError,
    GenerationSpec,
    Json,
    Kind,
    Media,
    PreparedMedia,
    Role,
    kind_of,
)
from evergreen_server.providers.runway.catalog.checks import check_body
from evergreen_server.providers.runway.catalog.composing.compose import Composition, compose, operation_of, roles_of
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rows.vocabulary import SEED, Row
from evergreen_server.providers.runway.catalog.rules import Issue, OneOf, Operation, Path
from evergreen_server.providers.runway.catalog.wording import ABSENT, at, told, uri_errors

__all__ = ["OWNED", "SINGLE_FILES", "find_field_errors", "placeholder", "trace"]

OWNED: Mapping[str, str] = {
    "model": "model",
    "promptText": "prompt_text",
    "ratio": "ratio",
    "resolution": "resolution",
    "duration": "duration_seconds",
    "seed": "seed",
    "promptImage": "media",
    "promptVideo": "media",
    "videoUri": "media",
    "references": "media",
    "referenceVideos": "media",
    "referenceAudio": "media",
    "keyframes": "media",
    "draftTaskId": "nothing: drafts cannot be enhanced through this service",
}
"""Body fields that a field of the request sets, and which field."""

SINGLE_FILES = (
    "mp4",
    "mov",
    "prores",
    "hdr10",
    "hlg",
    "sdr_rec709_10bit",
    "hdr_pq_12bit_master",
    "hdr_prores",
)
PLACEHOLDERS = {
    Kind.PICTURE: "runway://placeholder/picture",
    Kind.VIDEO: "runway://placeholder/video",
    Kind.AUDIO: "runway://placeholder/audio",
}


def find_field_errors(spec: GenerationSpec) -> list[FieldError]:
    """Returns every error, with what is allowed; empty means acceptable."""
    found = list(_option_errors(spec))
    operation = operation_of(spec.model, (one.role for one in spec.media))
    row = TABLE.get((operation, spec.model))
    rows = [one for one in TABLE.values() if one.model == spec.model and one.operation in CLIPS]
    if not rows:
        known = ", ".join(dict.fromkeys(model for found, model in TABLE if found in CLIPS))
        found.append(FieldError(field="model", description=f"Unknown model; one of: {known}."))
        if spec.seed is not None:
            wrong_seed = f"must be {SEED.describe()}, not {spec.seed}."
            found += [FieldError(field="seed", description=wrong_seed) for _ in SEED.issues(spec.seed, ())]
        return found
    if row is None:
        found.append(_wrong_operation(operation, rows))
    found += _row_errors(spec, row or rows[0], of_media=row is not None)
    return list(dict.fromkeys(found))


def _wrong_operation(operation: Operation, rows: list[Row]) -> FieldError:
    ways = "; ".join(f"{row.operation} from {', '.join(roles_of(row)) or 'text alone'}" for row in rows)
    return FieldError(
        field="media",
        description=f"{rows[0].model} does not do {operation}; it does {ways}.",
    )


def _row_errors(spec: GenerationSpec, row: Row, *, of_media: bool) -> Iterator[FieldError]:
    allowed = {name: value for name, value in spec.options.items() if not _owned(name, value)}
    composed = compose(replace(spec, options=allowed), [placeholder(one) for one in spec.media], row)
    for issue in check_body(row.operation, composed.body):
        for error in _translate(issue, composed, row):
            if of_media or not error.field.startswith("media"):
                yield error
    if "ratio" in composed.body and row.model == "aleph2":
        yield FieldError(
            field="ratio",
            description="aleph2 keeps the source's size; use options.targetAspectRatio.",
        )
    chosen = composed.body.get("outputFormat")
    if isinstance(chosen, str) and chosen not in SINGLE_FILES and "outputFormat" in row.fields:
        kinds = ", ".join(value for value in _values(row, "outputFormat") if value in SINGLE_FILES)
        text = f"A clip is delivered as one video file, so image sequences are not taken; one of: {kinds}."
        yield FieldError(field="options.outputFormat", description=text)
    if of_media:
        for index in composed.unplaced_media:
            yield _unplaced(index, spec.media[index], row)
        for index, one in enumerate(spec.media):
            if one.at_seconds is not None and one.role is not Role.KEYFRAME:
                yield FieldError(
                    field=f"media[{index}].at_seconds",
                    description="Only a KEYFRAME has a time.",
                )


def _unplaced(index: int, one: Media, row: Row) -> FieldError:
    roles = roles_of(row)
    if one.role is Role.SOURCE_VIDEO and one.role in roles:
        return FieldError(
            field=f"media[{index}].role",
            description="Only one SOURCE_VIDEO can be given.",
        )
    takes = ", ".join(roles) or "no media"
    description = f"{row.model} {row.operation} has no place for {one.role}; it takes {takes}."
    return FieldError(field=f"media[{index}].role", description=description)


def _translate(issue: Issue, composed: Composition, row: Row) -> Iterator[FieldError]:
    if issue.code == "unrecognized_keys" and not issue.path:
        for name in _strings(issue.details["keys"]):
            yield _not_taken(name, row)
        return
    field = trace(issue.path, composed.origins)
    rule = row.fields.get(str(issue.path[0]))
    allowed = rule.describe() if rule and len(issue.path) == 1 and issue.code != "custom" else ""
    if at(composed.body, issue.path) is ABSENT and issue.code in ("invalid_type", "invalid_value"):
        choices = issue.details.get("values")
        one_of = f"one of {', '.join(map(str, choices))}" if isinstance(choices, list) else allowed
        description = f"Required by {row.model}" + (f": {one_of}." if one_of else ".")
    else:
        description = told(issue, composed.body, allowed) + "."
    yield FieldError(field=field, description=description)


def _not_taken(name: str, row: Row) -> FieldError:
    field = OWNED.get(name)
    if field is None:
        options = ", ".join(option for option in row.fields if option not in OWNED) or "none"
        text = f"Not an option of {row.model} {row.operation}; its options: {options}."
        return FieldError(field=f"options.{name}", description=text)
    instead = ""
    if name in ("ratio", "resolution"):
        other = "resolution" if name == "ratio" else "ratio"
        instead = " Its size follows the input."
        if choices := _values(row, other):
            instead = f" Use {other}, one of: {', '.join(choices)}."
    return FieldError(
        field=field,
        description=f"{row.model} {row.operation} takes no {field}.{instead}",
    )


def trace(path: Path, origins: Mapping[Path, str]) -> str:
    """Returns the caller's field for a path in the body, by the longest part of it that is known."""
    for length in range(len(path), 0, -1):
        if (field := origins.get(path[:length])) is not None:
            rest = path[length:] if field.startswith("options.") else ()
            return field + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    first = str(path[0]) if path else "model"
    return OWNED.get(first, f"options.{first}")


def _option_errors(spec: GenerationSpec) -> Iterator[FieldError]:
    for name, value in spec.options.items():
        if _owned(name, value):
            instead = OWNED.get(name, "media")
            yield FieldError(field=f"options.{name}", description=f"Not an option; use {instead}.")
        elif name == "duration" and spec.duration_seconds is not None:
            yield FieldError(
                field="options.duration",
                description="Give duration_seconds or this, not both.",
            )
        else:
            yield from uri_errors({name: value})


def _owned(name: str, value: Json) -> bool:
    """Returns whether a field of the request sets this body field; the duration "auto" has no such field."""
    if name == "duration":
        return value != "auto"
    return name in OWNED or name.lower().endswith("uri")


def placeholder(one: Media) -> PreparedMedia:
    """Returns what stands for a piece of media while it is not fetched yet."""
    return PreparedMedia(
        role=one.role,
        uri=PLACEHOLDERS[kind_of(one.role)],
        at_seconds=one.at_seconds,
        tag=one.tag,
        subject=one.subject,
    )


def _values(row: Row, name: str) -> tuple[str, ...]:
    rule = row.fields.get(name)
    return tuple(str(value) for value in rule.values) if isinstance(rule, OneOf) else ()


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))
