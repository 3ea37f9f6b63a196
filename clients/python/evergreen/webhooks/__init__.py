"""Webhooks: what a receiver does with a signed request that tells of a job or a film. Loads no gRPC.

    event = verify(body, headers, secret)
    print(event.type, event.job.job_id if event.job else event.film)

The calls that set webhooks up are available as `Client.webhooks`.
"""

from evergreen.errors import WebhookRejected
from evergreen.webhooks.events import WebhookEvent
from evergreen.webhooks.verification import TOLERANCE_SECONDS, verify

__all__ = ["TOLERANCE_SECONDS", "WebhookEvent", "WebhookRejected", "verify"]
