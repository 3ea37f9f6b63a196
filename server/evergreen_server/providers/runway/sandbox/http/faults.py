"""Scripted faults: which calls they match, and what happens to those.

A rule counts every call that it matches and applies from the `nth` one on, `count` times. Of the rules that
change how a call is answered only the oldest applies; those that decide how a task ends may be combined.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from evergreen_server.providers.runway.catalog.models import Json, Operation

CREATES = tuple(operation.value for operation in Operation)
ROUTED = ("generate_video", "generate_image", "generate_audio")
_PREPARED = ("create_voice", "create_avatar", "create_realtime_session")
_RESOURCES = (
    "list_voices", *_PREPARED, "preview_voice", "get_voice", "update_voice", "delete_voice",
    "list_avatars", "get_avatar", "update_avatar", "delete_avatar", "get_avatar_usage",
    "list_conversations", "get_conversation", "delete_conversation",
    "list_documents", "create_document", "get_document", "update_document", "delete_document",
    "get_realtime_session", "delete_realtime_session", "consume_realtime_session",
    "list_routers", "create_router", "get_router", "update_router", "delete_router", "list_router_requests",
    "list_workflows", "get_workflow", "run_workflow", "get_workflow_invocation",
    "list_webapp_usage", "list_audit_logs", "get_audit_log",
)  # fmt: skip
OPERATIONS = (
    *CREATES,
    "get_task",
    "delete_task",
    "create_upload",
    "send_upload",
    "get_organization",
    "query_usage",
    "output",
    *ROUTED,
    *_RESOURCES,
)
_ANY = frozenset(OPERATIONS)
_CREATE, _TASK, _OUTPUT = frozenset((*CREATES, *ROUTED)), frozenset({"get_task"}), frozenset({"output"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens. Each kind uses the members that `KINDS` lists for it."""

    kind: str
    status: int = 503
    body: str = ""
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    accept: bool = False
    seconds: float = 0.0
    failure_code: str | None = None
    message: str = "The task failed, as scripted."
    at: float = 0.5
    word: str = "PAUSED"
    bytes: int = 0
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The operations that a kind of fault can apply to, the members it takes and those it needs."""

    operations: frozenset[str]
    members: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    plans: bool = False
    """It changes the task that a create makes, not the answer to the call."""


KINDS: Mapping[str, Kind] = {
    "status": Kind(
        operations=_ANY,
        members=("status", "body", "contentType", "headers", "retryAfter", "accept"),
        needs=("status",),
    ),
    "lost_answer": Kind(operations=_ANY - _OUTPUT),
    "drop": Kind(operations=_ANY),
    "hang": Kind(operations=_ANY, members=("seconds", "accept"), needs=("seconds",)),
    "slow": Kind(operations=_ANY, members=("seconds",), needs=("seconds",)),
    "invalid_json": Kind(operations=_ANY - _OUTPUT),
    "failure": Kind(operations=_CREATE | frozenset(_PREPARED), members=("failureCode", "message", "at"), plans=True),
    "throttle": Kind(operations=_CREATE, members=("seconds",), needs=("seconds",), plans=True),
    "large_output": Kind(operations=_CREATE, members=("bytes",), needs=("bytes",), plans=True),
    "many_outputs": Kind(operations=_CREATE, members=("number",), needs=("number",), plans=True),
    "status_word": Kind(operations=_TASK, members=("word",)),
    "gone": Kind(operations=_TASK),
    "truncate": Kind(operations=_OUTPUT, members=("at",)),
    "wrong_length": Kind(operations=_OUTPUT, members=("at",)),
    "expired_url": Kind(operations=_OUTPUT),
    "not_a_video": Kind(operations=_OUTPUT),
    "output_404": Kind(operations=_OUTPUT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A call as rules see it. `task_id`, `model` and `prompt` are those of the task that it is about."""

    operation: str
    method: str
    path: str
    task_id: str | None = None
    model: str | None = None
    prompt: str | None = None


@dataclass(slots=True, kw_only=True)
class Rule:
    """A scripted fault, how many calls it matched, and how many it was applied to."""

    fault: Fault
    operations: frozenset[str]
    path: str | None
    method: str | None
    prompt: str | None
    model: str | None
    task_id: str | None
    nth: int
    count: int | None
    id: str = ""
    met: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        return self.count is not None and self.struck >= self.count

    def matches(self, target: Target) -> bool:
        return (
            target.operation in self.operations
            and (self.method is None or self.method == target.method)
            and (self.path is None or fnmatchcase(target.path, self.path))
            and (self.prompt is None or self.prompt in (target.prompt or ""))
            and (self.model is None or self.model == target.model)
            and (self.task_id is None or self.task_id == target.task_id)
        )

    def entry(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "kind": self.fault.kind,
            "operations": [*sorted(self.operations)],
            "nth": self.nth,
            "count": self.count,
            "met": self.met,
            "struck": self.struck,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """The faults of one call: at most one in the answer, and any number that decide how its task ends."""

    answer: Fault | None = None
    plan: tuple[Fault, ...] = ()

    @property
    def kinds(self) -> str | None:
        return "+".join(fault.kind for fault in (*self.plan, *filter(None, [self.answer]))) or None


class Script:
    """The rules in force, oldest first."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._ids = itertools.count(1)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(self._rules)

    def add(self, rule: Rule) -> None:
        rule.id = f"fault-{next(self._ids)}"
        self._rules.append(rule)

    def clear(self, rule_id: str | None = None) -> bool:
        """Removes one rule, or all. Returns whether there was one."""
        kept = [] if rule_id is None else [rule for rule in self._rules if rule.id != rule_id]
        removed = len(kept) < len(self._rules)
        self._rules = kept
        return removed

    def inject(self, target: Target, *, answered: bool = True) -> Injected:
        """Returns what happens to a call, and counts it; a call within another one is not `answered` by itself."""
        answer: Fault | None = None
        plan: list[Fault] = []
        for rule in self._rules:
            plans = KINDS[rule.fault.kind].plans
            if rule.spent or not rule.matches(target) or not (plans or answered):
                continue
            rule.met += 1
            if rule.met < rule.nth or (not plans and answer is not None):
                continue
            rule.struck += 1
            if plans:
                plan.append(rule.fault)
            else:
                answer = rule.fault
        return Injected(answer=answer, plan=tuple(plan))
