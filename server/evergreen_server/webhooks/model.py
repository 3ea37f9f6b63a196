"""What a webhook and a delivery are, and what may be wrong about them.

WebhookError
  WebhookNotFound     there is none, or it is not the caller's
  DeliveryNotFound    the webhook has none with that message
  WebhooksOff         the server has no key for webhooks, not that of this one, or was told not to use it
  SwitchedOff         the webhook is not active
  TooManyWebhooks     of a project, or in all
  WebhookReused       its request_id came before, with another body
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

__all__ = [
    "EVERY",
    "Attempt",
    "Delivery",
    "DeliveryNotFound",
    "DeliveryState",
    "SwitchedOff",
    "TooManyWebhooks",
    "Webhook",
    "WebhookError",
    "WebhookFilter",
    "WebhookNotFound",
    "WebhookReused",
    "WebhookState",
    "WebhooksOff",
]

EVERY = "*"
"""Stands for all projects where a project's id would stand."""


class WebhookState(StrEnum):
    """Whether events are sent to a webhook."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    SWITCHED_OFF = "SWITCHED_OFF"


class DeliveryState(StrEnum):
    """How far a delivery is."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    GIVEN_UP = "GIVEN_UP"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFilter:
    """Which events a webhook hears of."""

    projects: tuple[str, ...]
    """Empty for all of them."""
    types: tuple[str, ...] = ()
    """Empty for the default set."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_projects(self) -> bool:
        return not self.projects


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A receiver of events."""

    webhook_id: str
    url: str
    filter: WebhookFilter
    description: str
    state: WebhookState
    switched_off_reason: str = ""
    generation: int
    fingerprint: str
    old_fingerprint: str = ""
    old_secret_until: datetime | None = None
    quick: bool | None = None
    """Whether its last send succeeded, and in time; None before the first."""
    failing_since: datetime | None = None
    last_status: int = 0
    last_error: str = ""
    last_attempt_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def owner(self) -> str:
        """Returns as whose its sends count, where projects take turns: its first project, or all."""
        return self.filter.projects[0] if self.filter.projects else EVERY


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of a request to a receiver."""

    succeeded: bool
    status: int
    """0 where no answer came."""
    error: str
    """For people; empty if it succeeded."""
    milliseconds: float
    answer: bytes
    """The first 1,024 bytes of it."""
    retry_after_seconds: float | None = None
    """As the receiver asks for, with 429 and 503 alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event on its way to a webhook."""

    message_id: str
    webhook_id: str
    project_id: str
    revision: int
    type: str
    job_id: str
    film_id: str
    state: DeliveryState
    attempts: int
    next_at: datetime
    last_attempt_at: datetime | None
    last_status: int
    last_error: str
    last_milliseconds: float
    last_answer: bytes
    created_at: datetime


class WebhookError(Exception):
    """A webhook cannot do, or be, what was asked for."""


class WebhookNotFound(WebhookError):
    """There is no such webhook, or it is not the caller's."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"there is no webhook {webhook_id}")
        self.webhook_id = webhook_id


class DeliveryNotFound(WebhookError):
    """The webhook has no such delivery, or no longer."""

    def __init__(self, webhook_id: str, message_id: str) -> None:
        super().__init__(f"the webhook {webhook_id} has no delivery {message_id}, or no longer")
        self.message_id = message_id


class WebhooksOff(WebhookError):
    """The server sends no webhooks."""


class SwitchedOff(WebhookError):
    """The webhook is paused or switched off."""


class TooManyWebhooks(WebhookError):
    """A project has as many webhooks as it may, or the service has."""


class WebhookReused(WebhookError):
    """The request_id made a webhook within a day, by another body."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"the request_id was used with another body, for the webhook {webhook_id}")
        self.webhook_id = webhook_id
