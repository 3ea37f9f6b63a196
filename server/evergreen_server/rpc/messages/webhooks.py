"""Reads requests about webhooks, naming all that is wrong about one at once, and makes the messages that answer."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import webhook_pb2
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.access.policy import AccessDenied, Caller
from evergreen_server.rpc.messages.paging import read_place
from evergreen_server.rpc.messages.values import parse_time, set_time
from evergreen_server.webhooks.kinds import type_error
from evergreen_server.webhooks.model import Attempt, Delivery, DeliveryState, Webhook, WebhookFilter, WebhookState
from evergreen_server.webhooks.store import MOST_OF_PROJECT
from evergreen_storage import id_error

MAX_TYPES = 50
MAX_LABELS = 16
MAX_PROJECTS = MOST_OF_PROJECT
LONGEST_DESCRIPTION = 200
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
USUAL_OVERLAP, LONGEST_OVERLAP = timedelta(days=1), timedelta(days=7)
USUAL_PAGE, MAX_PAGE = 50, 1000
STATES: Mapping[int, DeliveryState] = {
    number: DeliveryState[name.removeprefix("DELIVERY_STATE_")]
    for name, number in webhook_pb2.DeliveryState.items()
    if number
}
GIVEN: Mapping[int, WebhookState] = {
    webhook_pb2.WEBHOOK_STATE_ACTIVE: WebhookState.ACTIVE,
    webhook_pb2.WEBHOOK_STATE_PAUSED: WebhookState.PAUSED,
}
"""The states that a caller may ask for."""

UrlError = Callable[[str], str | None]


def read_create(message: webhook_pb2.CreateWebhookRequest, caller: Caller, url_error: UrlError) -> WebhookFilter:
    """Returns the filter of a webhook that is to be. Raises InvalidRequest, AccessDenied."""
    errors = _text_errors(message.description)
    if text := url_error(message.url):
        errors.append(FieldError(field="url", description=text))
    if message.request_id and not REQUEST_ID.fullmatch(message.request_id):
        text = "must be 1 to 128 of the characters A-Z, a-z, 0-9, '.', '_', ':' and '-'"
        errors.append(FieldError(field="request_id", description=text))
    wanted = _filter(message.filter, errors)
    _raise(errors)
    _check_projects(wanted, caller)
    return wanted


def read_update(
    message: webhook_pb2.UpdateWebhookRequest, caller: Caller, url_error: UrlError
) -> tuple[WebhookFilter | None, WebhookState | None]:
    """Returns the filter and the state that are asked for, if any. Raises InvalidRequest, AccessDenied."""
    errors = _text_errors(message.description)
    if message.HasField("url") and (text := url_error(message.url)):
        errors.append(FieldError(field="url", description=text))
    wanted = _filter(message.filter, errors) if message.HasField("filter") else None
    if message.HasField("state") and message.state not in GIVEN:
        errors.append(FieldError(field="state", description="must be ACTIVE or PAUSED"))
    _raise(errors)
    if wanted is not None:
        _check_projects(wanted, caller)
    return wanted, GIVEN.get(message.state)


def digest_of(message: webhook_pb2.CreateWebhookRequest) -> str:
    """Returns what tells a request from others with its request_id."""
    return sha256(message.SerializeToString(deterministic=True)).hexdigest()


def read_overlap(message: webhook_pb2.RotateSecretRequest) -> timedelta:
    """Returns for how long the secret before stays good. Raises InvalidRequest."""
    if not message.HasField("overlap"):
        return USUAL_OVERLAP
    seconds = message.overlap.seconds + message.overlap.nanos / 1e9
    if not 0 <= seconds <= LONGEST_OVERLAP.total_seconds():
        _raise([FieldError(field="overlap", description="must be 0 to 7 days")])
    return timedelta(seconds=seconds)


def read_page(size: int, token: str, scope: str, errors: list[FieldError]) -> tuple[int, str]:
    """Returns how many are asked for, and after which id."""
    if size < 0:
        errors.append(FieldError(field="page_size", description=f"must be 1 to {MAX_PAGE}"))
    place = read_place(token, scope, wrong=lambda found: not ID.fullmatch(found), errors=errors)
    return min(size or USUAL_PAGE, MAX_PAGE), place


def read_deliveries(
    message: webhook_pb2.ListDeliveriesRequest,
) -> tuple[frozenset[DeliveryState], datetime | None, int, str, str]:
    """Returns states, since when, how many, before which one, and the scope of page tokens. Raises InvalidRequest."""
    errors = [
        FieldError(field=f"states[{number}]", description="must be PENDING, DELIVERED or GIVEN_UP")
        for number, state in enumerate(message.states)
        if state not in STATES
    ]
    since = _since(message.since_time, "since_time", errors) if message.HasField("since_time") else None
    scope = f"deliveries {message.webhook_id} {sorted(set(message.states))} {since}"
    size, before = read_page(message.page_size, message.page_token, scope, errors)
    _raise(errors)
    return frozenset(STATES[state] for state in message.states), since, size, before, scope


def read_redeliver(message: webhook_pb2.RedeliverRequest) -> str | datetime:
    """Returns the message that is sent again, or since when all that were given up are. Raises InvalidRequest."""
    errors: list[FieldError] = []
    if message.WhichOneof("what") == "given_up_since_time":
        since = _since(message.given_up_since_time, "given_up_since_time", errors)
        _raise(errors)
        assert since is not None
        return since
    if not message.message_id:
        text = "name the delivery by its message_id, or give given_up_since_time for all that were given up"
        _raise([FieldError(field="message_id", description=text)])
    return message.message_id


def webhook_message(webhook: Webhook, pending: int = 0) -> webhook_pb2.Webhook:
    """Returns a webhook as callers see it."""
    message = webhook_pb2.Webhook(
        webhook_id=webhook.webhook_id,
        url=webhook.url,
        filter=webhook_pb2.WebhookFilter(
            project_ids=webhook.filter.projects,
            all_projects=webhook.filter.all_projects,
            types=webhook.filter.types,
            labels=webhook.filter.labels,
        ),
        description=webhook.description,
        state=webhook_pb2.WebhookState.Value(f"WEBHOOK_STATE_{webhook.state.value}"),
        switched_off_reason=webhook.switched_off_reason,
        last_status=webhook.last_status,
        last_error=webhook.last_error,
        pending_deliveries=pending,
        secret_generation=webhook.generation,
    )
    set_time(message.create_time, webhook.created_at)
    set_time(message.update_time, webhook.updated_at)
    for field, at in (
        (message.failing_since_time, webhook.failing_since),
        (message.last_attempt_time, webhook.last_attempt_at),
        (message.old_secret_expire_time, webhook.old_secret_until),
    ):
        if at is not None:
            set_time(field, at)
    return message


def delivery_message(delivery: Delivery) -> webhook_pb2.Delivery:
    """Returns a delivery as callers see it."""
    message = webhook_pb2.Delivery(
        message_id=delivery.message_id,
        webhook_id=delivery.webhook_id,
        project_id=delivery.project_id,
        revision=delivery.revision,
        type=delivery.type,
        job_id=delivery.job_id,
        film_id=delivery.film_id,
        state=webhook_pb2.DeliveryState.Value(f"DELIVERY_STATE_{delivery.state.value}"),
        attempts=delivery.attempts,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        last_milliseconds=delivery.last_milliseconds,
        last_answer=_text(delivery.last_answer),
    )
    set_time(message.create_time, delivery.created_at)
    if delivery.state is DeliveryState.PENDING:
        set_time(message.next_attempt_time, delivery.next_at)
    if delivery.last_attempt_at is not None:
        set_time(message.last_attempt_time, delivery.last_attempt_at)
    return message


def tested_message(message_id: str, attempt: Attempt) -> webhook_pb2.SendTestResponse:
    """Returns what came of a test."""
    return webhook_pb2.SendTestResponse(
        succeeded=attempt.succeeded,
        status=attempt.status,
        error=attempt.error,
        milliseconds=attempt.milliseconds,
        answer=_text(attempt.answer),
        message_id=message_id,
    )


def _filter(message: webhook_pb2.WebhookFilter, errors: list[FieldError]) -> WebhookFilter:
    """Returns a filter in one form, whatever the order in which its parts came."""
    projects = sorted(set(message.project_ids))
    if message.all_projects and projects:
        errors.append(FieldError(field="filter.project_ids", description="must be empty with all_projects"))
    if not message.all_projects and not 1 <= len(projects) <= MAX_PROJECTS:
        errors.append(
            FieldError(field="filter.project_ids", description=f"must be 1 to {MAX_PROJECTS}, or all_projects be set")
        )
    for number, project_id in enumerate(message.project_ids):
        if text := id_error("project", project_id):
            errors.append(FieldError(field=f"filter.project_ids[{number}]", description=text))
    if len(message.types) > MAX_TYPES:
        errors.append(FieldError(field="filter.types", description=f"at most {MAX_TYPES}"))
    for number, each in enumerate(message.types):
        if text := type_error(each):
            errors.append(FieldError(field=f"filter.types[{number}]", description=text))
    if len(message.labels) > MAX_LABELS:
        errors.append(FieldError(field="filter.labels", description=f"at most {MAX_LABELS}"))
    for name, value in message.labels.items():
        if not 1 <= len(name) <= 63 or len(value) > 255:
            text = "a name may have 1 to 63 characters, a value 255"
            errors.append(FieldError(field=f"filter.labels[{name[:63]}]", description=text))
    types = tuple(sorted(set(message.types)))
    return WebhookFilter(projects=tuple(projects), types=types, labels=dict(message.labels))


def _check_projects(wanted: WebhookFilter, caller: Caller) -> None:
    """Raises AccessDenied for projects that are not the caller's."""
    if caller.projects is None:
        return
    if wanted.all_projects:
        raise AccessDenied("the token is not for all projects", reason="PROJECT_DENIED", missing="*")
    for project_id in wanted.projects:
        caller.check_project(project_id)


def _text_errors(description: str) -> list[FieldError]:
    if len(description) <= LONGEST_DESCRIPTION:
        return []
    return [FieldError(field="description", description=f"at most {LONGEST_DESCRIPTION} characters")]


def _since(stamp: Timestamp, field: str, errors: list[FieldError]) -> datetime | None:
    try:
        return parse_time(stamp)
    except (ValueError, OverflowError):
        errors.append(FieldError(field=field, description="must be a time from year 1 to 9999"))
        return None


def _raise(errors: list[FieldError]) -> None:
    if errors:
        raise InvalidRequest(errors)


def _text(data: bytes) -> str:
    """Returns what a receiver answered as a text that can be stored and shown."""
    return data.decode(errors="replace").replace("\0", "\ufffd")
