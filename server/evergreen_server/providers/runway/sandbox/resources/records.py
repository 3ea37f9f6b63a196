"""The resources as they are kept. Times are simulated seconds; what changes with time alone is not stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evergreen_server.providers.runway.catalog.models import Json

__all__ = [
    "AuditEvent", "Avatar", "Charge", "Document", "Invocation", "Router", "Routing", "Session", "Voice", "Workflow",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice of the account's own; `failure` is why it will never be ready."""

    id: str
    created_at: float
    ready_at: float
    name: str
    description: str | None
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text that avatars know."""

    id: str
    created_at: float
    updated_at: float
    name: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Avatar:
    """A character; `digest` names its picture in the asset store."""

    id: str
    created_at: float
    updated_at: float
    ready_at: float
    name: str
    personality: str
    start_script: str | None
    voice: Mapping[str, Json]
    document_ids: Sequence[str]
    digest: str
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """How routed generation chooses a model."""

    id: str
    created_at: float
    updated_at: float
    slug: str
    name: str
    description: str | None
    settings: Mapping[str, Json]
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """One decision of a router; `details` is the rest of its record, as the API writes it."""

    id: str
    created_at: float
    router_id: str
    details: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One published version of a workflow; `graph` as the API writes it."""

    id: str
    created_at: float
    name: str
    description: str | None
    version: int
    graph: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One run of a workflow: the tasks of its nodes, and the nodes that got none, with the reason."""

    id: str
    created_at: float
    task_ids: Mapping[str, str]
    refused: Mapping[str, str]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A call with an avatar, which is also a conversation. `avatar` is as it was asked for."""

    id: str
    created_at: float
    ready_at: float
    expires_at: float
    key: str
    avatar: Mapping[str, Json]
    max_seconds: int
    tools: Sequence[Json]
    transcript: Sequence[Json]
    started_at: float | None = None
    ended_at: float | None = None
    cancelled: bool = False
    failure: str = ""
    failure_code: str = ""
    forgotten: bool = False
    """Its conversation was deleted; it still counts as use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One row of a linked workspace's usage; a refund is negative."""

    id: str
    created_at: float
    credits: float
    email: str
    tool: str
    workspace_id: int
    workspace_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One entry of a linked workspace's audit log; `details` are the members that only the single entry shows."""

    id: str
    created_at: float
    action: str
    actor_email: str | None
    actor_username: str | None
    actor_deleted: bool
    workspace_id: int
    workspace_name: str
    details: Mapping[str, Json]
