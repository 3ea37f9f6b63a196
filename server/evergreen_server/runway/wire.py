"""What goes over the wire and what comes back, as plain values. No I/O.

Lenient in reading: the provider adds members and words without notice, so what is not known is passed over,
and what is missing is told as not known.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evergreen_server.jobs.provider import (
    Account,
    Failure,
    Fault,
    Json,
    ModelLimits,
    PreparedMedia,
    Refused,
    Submission,
    Task,
    TaskState,
    VideoSpec,
)
from evergreen_server.runway.compose import Composition, compose, operation_of
from evergreen_server.runway.faults import trace
from evergreen_server.runway.rows import TABLE

__all__ = [
    "API_VERSION", "Usage", "clean", "encode", "error_faults", "error_text", "lacks_credits", "parse", "read_account",
    "read_submission", "read_task", "read_usage", "request_for",
]  # fmt: skip

API_VERSION = "2024-11-06"

TEXT_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one model used on one day (UTC); may be negative after refunds."""

    day: str
    model: str
    millicredits: int


def request_for(spec: VideoSpec, media: Sequence[PreparedMedia]) -> tuple[str, Composition]:
    """Makes the path and the body of a create. Raises Refused where the model has no place for what is given."""
    operation = operation_of(spec.model, (one.role for one in media))
    row = TABLE.get((operation, spec.model))
    if row is None:
        raise Refused(f"{spec.model} does not do {operation}.", faults=[Fault(field="model", description="Not known.")])
    composed = compose(spec, media, row)
    if composed.misfits:
        faults = [Fault(field=f"media[{index}].role", description="Has no place.") for index in composed.misfits]
        raise Refused(f"{spec.model} {operation} has no place for some of the media.", faults=faults)
    return f"/v1/{operation}", composed


def encode(body: Mapping[str, Json]) -> Iterator[bytes]:
    """Writes JSON piece by piece, no piece larger than one string, since data URIs take milliseconds each."""
    for piece in json.JSONEncoder(separators=(",", ":"), allow_nan=False).iterencode(body):
        yield piece.encode()


def parse(body: bytes) -> Json:
    """Reads JSON. Raises ValueError where it is none, or nested beyond reason."""
    try:
        value: Json = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def read_submission(answer: Json) -> Submission | None:
    """Reads the answer to a create; None where it names no task."""
    members = _members(answer)
    task_id = members.get("id")
    if not isinstance(task_id, str) or not task_id:
        return None
    return Submission(task_id=task_id, estimated_millicredits=_credits(members.get("estimatedCost")))


def read_task(task_id: str, answer: Json) -> Task | None:
    """Reads a task; None where the answer is none."""
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
        output_urls=tuple(url for url in output if isinstance(url, str)) if isinstance(output, list) else (),
        failure=_failure(members) if state is TaskState.FAILED else None,
        estimated_millicredits=_credits(members.get("estimatedCost")),
        charged_millicredits=_credits(members.get("cost")),
    )


def _progress(value: Json) -> float | None:
    number = _number(value)
    return None if number is None else min(1.0, max(0.0, float(number)))


def _failure(members: Mapping[str, Json]) -> Failure:
    code, message = members.get("failureCode"), members.get("failure")
    code = clean(code, limit=128) if isinstance(code, str) else ""
    reason, retryable, free = _advice(code)
    text = clean(message) if isinstance(message, str) else "The provider gave no reason."
    return Failure(reason=reason, message=text, code=code, retryable=retryable, free=free)


def _advice(code: str) -> tuple[str, bool, bool]:
    """Tells reason, whether another try may succeed, and whether the failure is said to cost nothing."""
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
    """Reads the organization; None where the answer is none."""
    members = _members(answer)
    balance = _millicredits(members.get("creditBalance"))
    if balance is None:
        return None
    tier, usage = _members(members.get("tier")), _members(members.get("usage"))
    tiers, used = _members(tier.get("models")), _members(usage.get("models"))
    return Account(
        balance_millicredits=balance,
        max_monthly_millicredits=_millicredits(tier.get("maxMonthlyCreditSpend")),
        limits={
            model: ModelLimits(
                max_concurrent=_whole(_members(tiers.get(model)).get("maxConcurrentGenerations")),
                max_daily=_whole(_members(tiers.get(model)).get("maxDailyGenerations")),
                used_today=_whole(_members(used.get(model)).get("dailyGenerations")) or 0,
            )
            for model in dict.fromkeys([*tiers, *used])
        },
        api_version=API_VERSION,
    )


def read_usage(answer: Json) -> tuple[Usage, ...]:
    return tuple(_usage(answer))


def _usage(answer: Json) -> Iterator[Usage]:
    for entry in _list(_members(answer).get("results")):
        day = _members(entry).get("date")
        for used in _list(_members(entry).get("usedCredits")):
            model, amount = _members(used).get("model"), _millicredits(_members(used).get("amount"))
            if isinstance(day, str) and isinstance(model, str) and amount is not None:
                yield Usage(day=day, model=model, millicredits=amount)


def error_text(body: bytes) -> str:
    """Gives what an error answer says, fit for a caller; empty where it says nothing in the agreed form."""
    try:
        members = _members(parse(body))
    except ValueError:
        return ""
    text = members.get("error")
    return clean(text) if isinstance(text, str) else ""


def error_faults(body: bytes, composed: Composition, *, secret: str = "") -> tuple[Fault, ...]:
    """Gives the issues of a 400, each at the caller's own field."""
    try:
        members = _members(parse(body))
    except ValueError:
        return ()
    faults = []
    for issue in _list(members.get("issues")):
        message, path = _members(issue).get("message"), _list(_members(issue).get("path"))
        parts = tuple(part for part in path if isinstance(part, str | int))
        if isinstance(message, str):
            faults.append(Fault(field=trace(parts, composed.origins), description=clean(message, secret=secret)))
    return tuple(dict.fromkeys(faults))


def lacks_credits(text: str) -> bool:
    return re.search(r"(enough|insufficient) credits", text, re.IGNORECASE) is not None


def clean(text: str, *, limit: int = TEXT_LIMIT, secret: str = "") -> str:
    """Makes a provider's text fit to show: no data URIs, no signed queries, no key, no control characters."""
    if secret:
        text = text.replace(secret, "[key]")
    text = re.sub(r"key_[0-9a-f]{16,}", "[key]", text[: limit * 40])
    text = re.sub(r"data:[^\s\"']*", "data:[…]", text, flags=re.IGNORECASE)
    text = re.sub(r"(https?://[^\s\"'?#]*)[?#][^\s\"']*", r"\1", text, flags=re.IGNORECASE)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _members(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def _number(value: Json) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _whole(value: Json) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _millicredits(value: Json) -> int | None:
    number = _number(value)
    return None if number is None else round(number * 1000)


def _credits(cost: Json) -> int | None:
    return _millicredits(_members(cost).get("credits"))
