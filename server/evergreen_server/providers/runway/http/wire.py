"""What goes over the wire and what comes back, as plain values. No I/O.

Lenient in reading: the provider adds members and words without notice, so what is not known is passed over, and what
is missing or cannot be true is reported as not known. No content of an answer raises anything but ValueError.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence

from evergreen_server.ports.provider import Account, Failure, ModelLimits, Refused, Submission, Task, TaskState
from evergreen_server.ports.specs import FieldError, GenerationSpec, Json, PreparedMedia
from evergreen_server.providers.runway.catalog.composing.compose import Composition, compose, operation_of
from evergreen_server.providers.runway.catalog.diagnosis import trace
from evergreen_server.providers.runway.catalog.figures import amount, count, is_model_name, number, price
from evergreen_server.providers.runway.catalog.rows.recipes import path_of
from evergreen_server.providers.runway.catalog.rows.table import TABLE

__all__ = [
    "API_VERSION", "TASK_ID", "clean", "encode", "error_text", "field_errors_of", "lacks_credits", "parse",
    "read_account", "read_submission", "read_task", "request_for", "salvage_submission",
]  # fmt: skip

API_VERSION = "2024-11-06"

TASK_ID = r"[A-Za-z0-9_-]{1,64}"

TEXT_LIMIT = 500
MOST_DIGITS = 40
"""Of a whole number in an answer: converting thousands of digits takes long, and no figure has so many."""
MOST_OUTPUTS, MOST_MODELS, MOST_ISSUES = 64, 1000, 50

_OWN_ID = re.compile(rb'"id"\s*:\s*"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')


logger = logging.getLogger(__name__)


def request_for(spec: GenerationSpec, media: Sequence[PreparedMedia]) -> tuple[str, Composition]:
    """Returns the path and the body of a create. Raises Refused where the model has no place for a part of it."""
    operation = spec.operation or operation_of(spec.model, (one.role for one in media))
    row = TABLE.get((operation, spec.model))
    if row is None:
        raise Refused(
            f"{spec.model} does not do {operation}.", field_errors=[FieldError(field="model", description="Not known.")]
        )
    composed = compose(spec, media, row)
    unplaced = [f"media[{index}].role" for index in composed.unplaced_media]
    unplaced += [f"parameters.{name}" for name in composed.unplaced_parameters]
    if unplaced:
        field_errors = [FieldError(field=field, description="Has no place.") for field in unplaced]
        raise Refused(f"{spec.model} {operation} has no place for some of the request.", field_errors=field_errors)
    return f"/v1/{path_of(operation)}", composed


def encode(body: Mapping[str, Json]) -> Iterator[bytes]:
    """Yields JSON piece by piece, no piece larger than one string, since data URIs take milliseconds each."""
    for piece in json.JSONEncoder(separators=(",", ":"), allow_nan=False).iterencode(body):
        yield piece.encode()


def parse(body: bytes) -> Json:
    """Reads JSON, whatever encoding its header claims. Raises ValueError for anything else, or for too deep nesting."""
    try:
        text = body.decode(json.detect_encoding(body), "replace")
        value: Json = json.loads(text, parse_int=_integer)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def read_submission(answer: Json) -> Submission | None:
    """Reads the answer to a create; None where it names no usable task id."""
    members = _members(answer)
    task_id = members.get("id")
    if not isinstance(task_id, str) or not re.fullmatch(TASK_ID, task_id):
        return None
    return Submission(task_id=task_id, estimated_millicredits=_credits(members, "estimatedCost"))


def salvage_submission(body: bytes) -> Submission | None:
    """Finds the task id in a broken or truncated answer to a create; None where it has none or several."""
    found = set(_OWN_ID.findall(body))
    if len(found) != 1:
        return None
    return Submission(task_id=found.pop().decode(), estimated_millicredits=None)


def read_task(task_id: str, answer: Json) -> Task | None:
    """Reads a task; None where the answer is not one."""
    members = _members(answer)
    status = members.get("status")
    if not isinstance(status, str):
        return None
    try:
        state = TaskState(status)
    except ValueError:
        state, status = TaskState.UNKNOWN, clean(status, limit=64)
    output = members.get("output")
    return Task(
        task_id=task_id,
        state=state,
        status=status,
        progress=_progress(members.get("progress")),
        output_urls=tuple(url for url in _list(output) if isinstance(url, str))[:MOST_OUTPUTS],
        failure=_failure(members) if state is TaskState.FAILED else None,
        estimated_millicredits=_credits(members, "estimatedCost"),
        charged_millicredits=_credits(members, "cost"),
    )


def _progress(value: Json) -> float | None:
    found = number(value)
    return None if found is None else min(1.0, max(0.0, found))


def _failure(members: Mapping[str, Json]) -> Failure:
    code, message = members.get("failureCode"), members.get("failure")
    code = clean(code, limit=128) if isinstance(code, str) else ""
    reason, retryable, free = _advice(code)
    text = clean(message) if isinstance(message, str) else "The provider gave no reason."
    return Failure(reason=reason, message=text, code=code, retryable=retryable, free=free)


def _advice(code: str) -> tuple[str, bool, bool]:
    """Returns the reason, whether another try may succeed, and whether the failure is documented to be free."""
    match code.upper().split("."):
        case ["SAFETY", "OUTPUT", *_]:
            return "MODERATED_OUTPUT", False, False
        case ["SAFETY", *_] | ["INPUT_PREPROCESSING", "SAFETY", *_]:
            return "MODERATED_INPUT", False, False
        case ["INPUT_PREPROCESSING", "INTERNAL", *_]:
            return "PROVIDER_INTERNAL", True, True
        case ["INTERNAL", "BAD_OUTPUT", *_]:
            return "BAD_OUTPUT", False, True
        case ["ASSET", *_]:
            return "ASSET_INVALID", False, True
        case ["THIRD_PARTY", *_]:
            return "PROVIDER_OVERLOADED", True, True
        case [""] | ["INTERNAL", *_]:
            return "PROVIDER_INTERNAL", True, True
        case _:
            # A code never seen before promises neither a refund nor that another try could help.
            return "PROVIDER_INTERNAL", False, False


def read_account(answer: Json) -> Account | None:
    """Reads the organization; None where the answer is not one."""
    members = _members(answer)
    balance = amount(members.get("creditBalance"), "creditBalance")
    if balance is None:
        return None
    tier, usage = _members(members.get("tier")), _members(members.get("usage"))
    tiers, used = _members(tier.get("models")), _members(usage.get("models"))
    named = [model for model in dict.fromkeys([*tiers, *used]) if is_model_name(model)][:MOST_MODELS]
    read = {model: _limits(_members(tiers.get(model)), _members(used.get(model))) for model in named}
    limits = {model: found for model, found in read.items() if found is not None}
    if left_out := len(tiers.keys() | used.keys()) - len(limits):
        logger.warning("models left out of the account", extra={"models": left_out})
    return Account(
        balance_millicredits=balance,
        max_monthly_millicredits=price(tier.get("maxMonthlyCreditSpend"), "maxMonthlyCreditSpend"),
        limits=limits,
        api_version=API_VERSION,
    )


def _limits(tier: Mapping[str, Json], used: Mapping[str, Json]) -> ModelLimits | None:
    """Reads a model's limits; None where one is implausible, since the model would then count as unlimited."""
    stated = {name: tier.get(name) for name in ("maxConcurrentGenerations", "maxDailyGenerations")}
    stated["dailyGenerations"] = used.get("dailyGenerations")
    read = {name: count(value) for name, value in stated.items()}
    if any(read[name] is None for name, value in stated.items() if value is not None):
        return None
    return ModelLimits(
        max_concurrent=read["maxConcurrentGenerations"],
        max_daily=read["maxDailyGenerations"],
        used_today=read["dailyGenerations"] or 0,
    )


def error_text(body: bytes) -> str:
    """Returns what an error answer says, cleaned for a caller; empty where it is not in the agreed form."""
    try:
        members = _members(parse(body))
    except ValueError:
        return ""
    text = members.get("error")
    return clean(text) if isinstance(text, str) else ""


def field_errors_of(body: bytes, composed: Composition, *, secret: str = "") -> tuple[FieldError, ...]:
    """Returns the issues of a 400, each at the caller's own field."""
    try:
        members = _members(parse(body))
    except ValueError:
        return ()
    field_errors = []
    for issue in _list(members.get("issues"))[:MOST_ISSUES]:
        message, path = _members(issue).get("message"), _list(_members(issue).get("path"))
        parts = tuple(part for part in path[:MOST_ISSUES] if isinstance(part, str | int))
        if isinstance(message, str):
            field = clean(trace(parts, composed.origins), limit=128, secret=secret)
            field_errors.append(FieldError(field=field, description=clean(message, secret=secret)))
    return tuple(dict.fromkeys(field_errors))


def lacks_credits(text: str) -> bool:
    return re.search(r"(enough|insufficient) credits", text, re.IGNORECASE) is not None


def clean(text: str, *, limit: int = TEXT_LIMIT, secret: str = "") -> str:
    """Returns a provider's text without data URIs, signed queries, keys and control characters, cut to `limit`."""
    if secret:
        text = text.replace(secret, "[key]")
    text = re.sub(r"key_[0-9a-f]{16,}", "[key]", text[: limit * 8])
    text = re.sub(r"data:[^\s\"']*", "data:[…]", text, flags=re.IGNORECASE)
    text = re.sub(r"(https?://[^\s\"'?#]*)[?#][^\s\"']*", r"\1", text, flags=re.IGNORECASE)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _members(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def _credits(members: Mapping[str, Json], figure: str) -> int | None:
    return price(_members(members.get(figure)).get("credits"), figure)
