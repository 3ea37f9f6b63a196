"""Webhooks: who is told of jobs and films by signed HTTP requests, and what a receiver does with such a request.

from evergreen.webhooks import verify

event = verify(body, headers, secret)
print(event.type, event.job.job_id if event.job else event.film)
"""

from evergreen.errors import WebhookRejected
from evergreen.webhooks.calls import Webhooks
from evergreen.webhooks.events import WebhookEvent
from evergreen.webhooks.fields import WebhookChanges, WebhookFields
from evergreen.webhooks.verification import TOLERANCE_SECONDS, verify

__all__ = [
    "TOLERANCE_SECONDS",
    "WebhookChanges",
    "WebhookEvent",
    "WebhookFields",
    "WebhookRejected",
    "Webhooks",
    "verify",
]
