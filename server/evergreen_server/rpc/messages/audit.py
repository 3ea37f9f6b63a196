"""Reads ListAuditEntriesRequest, and writes its answer."""

import json
from collections.abc import Mapping
from functools import partial
from hashlib import sha256

from evergreen.v1 import audit_pb2
from evergreen_server.jobs.store.audit import Entry, Question
from evergreen_server.ports.audit import Action
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.messages.fields import read_time
from evergreen_server.rpc.messages.paging import read_place
from evergreen_server.rpc.messages.values import timestamp
from evergreen_storage import id_error

MAX_PAGE_SIZE = 1000
LONGEST_TEXT = 1024
"""Of a path that is asked for."""

ACTIONS: Mapping[int, Action] = {
    number: Action[name.removeprefix("AUDIT_ACTION_")] for name, number in audit_pb2.AuditAction.items() if number
}
NUMBERS = {action: number for number, action in ACTIONS.items()}


def read_audit_request(message: audit_pb2.ListAuditEntriesRequest) -> tuple[Question, str, str]:
    """Returns what is asked for, its scope for page tokens, and after which entry its page begins.

    Raises InvalidRequest, with every fault.
    """
    field_errors: list[FieldError] = []
    if message.project_id and (text := id_error("project", message.project_id)):
        field_errors.append(FieldError(field="project_id", description=text))
    for number, action in enumerate(message.actions):
        if action not in ACTIONS:
            field_errors.append(FieldError(field=f"actions[{number}]", description="not an action"))
    for name, text in (("caller", message.caller), ("subject", message.subject)):
        if len(text) > LONGEST_TEXT:
            field_errors.append(FieldError(field=name, description=f"at most {LONGEST_TEXT} characters"))
    since = read_time(message, "since_time", field_errors)
    until = read_time(message, "until_time", field_errors)
    if since is not None and until is not None and until <= since:
        field_errors.append(FieldError(field="until_time", description="must be after since_time"))
    if not 0 <= message.page_size <= MAX_PAGE_SIZE:
        field_errors.append(FieldError(field="page_size", description=f"must be 1 to {MAX_PAGE_SIZE}"))
    question = Question(
        project_id=message.project_id,
        actions=frozenset(ACTIONS[action] for action in message.actions if action in ACTIONS),
        caller=message.caller,
        subject=message.subject,
        since=since,
        until=until,
    )
    scope = _scope(question)
    after = read_place(message.page_token, scope, wrong=partial(id_error, "job"), errors=field_errors)
    if field_errors:
        raise InvalidRequest(field_errors)
    return question, scope, after


def entry_message(entry: Entry) -> audit_pb2.AuditEntry:
    """Returns an entry as callers see it."""
    origin = entry.note.origin
    return audit_pb2.AuditEntry(
        entry_id=entry.entry_id,
        time=timestamp(entry.at),
        action=audit_pb2.AuditAction.ValueType(NUMBERS[entry.note.action]),
        project_id=entry.project_id,
        scene_id=entry.scene_id,
        subject=entry.subject,
        caller=origin.caller,
        call_id=origin.call_id,
        address=origin.address,
        trace_id=origin.trace_id,
        details=entry.note.details,
    )


def _scope(question: Question) -> str:
    """Returns a text that no other list has, and that holds nothing of what a caller may choose freely."""
    times = [None if at is None else at.isoformat() for at in (question.since, question.until)]
    parts = [question.project_id, sorted(question.actions), question.caller, question.subject, times]
    return f"audit {sha256(json.dumps(parts).encode()).hexdigest()}"
