"""Secrets of webhooks: derived from a key of the operator's, and kept nowhere.

The key file holds one line of 32 characters or more, such as `openssl rand -base64 48` prints. A second line is the key
before: it serves the webhooks that were set up with it until their secrets are rotated.
"""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from evergreen_server.runtime.reload import FileUnusable
from evergreen_server.webhooks.model import Webhook, WebhooksOff

__all__ = ["PREFIX", "Keys", "read_keys"]

PREFIX = "whsec_"
SHORTEST = 32
LONGEST = 4096
MOST_KEYS = 2
_OTHERS = 0o077


class Keys:
    """The keys, the present one first. Never printed. Secrets of any other raise WebhooksOff."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._by_fingerprint = {_fingerprint(key): key for key in keys}
        self.fingerprint = _fingerprint(keys[0])
        """Of the present key: it tells keys apart, and nothing of them."""

    def knows(self, fingerprint: str) -> bool:
        """Returns whether secrets of this key can be derived."""
        return fingerprint in self._by_fingerprint

    def secret(self, webhook: Webhook) -> str:
        """Returns the present secret of a webhook, as its receiver must have it."""
        return self._derived(webhook.fingerprint, webhook.webhook_id, webhook.generation)

    def signing(self, webhook: Webhook, now: datetime) -> list[str]:
        """Returns the secrets that sign what a webhook is sent now: during a rotation, the one before too."""
        secrets = [self.secret(webhook)]
        if webhook.old_secret_until is not None and now < webhook.old_secret_until:
            secrets.append(self._derived(webhook.old_fingerprint, webhook.webhook_id, webhook.generation - 1))
        return secrets

    def _derived(self, fingerprint: str, webhook_id: str, generation: int) -> str:
        if fingerprint not in self._by_fingerprint:
            raise WebhooksOff(
                f"this server has not the key of webhook {webhook_id}; its operator must give every server the same "
                "EVERGREEN_WEBHOOK_KEY_FILE, and restart it"
            )
        digest = hmac.digest(self._by_fingerprint[fingerprint], f"{webhook_id}.{generation}".encode(), "sha256")
        return PREFIX + base64.b64encode(digest).decode()


def read_keys(path: Path) -> Keys:
    """Reads the key file. Raises FileUnusable, which names it and says what to do."""
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as exc:
        raise FileUnusable(f"{path} (EVERGREEN_WEBHOOK_KEY_FILE) cannot be read: {exc.strerror}") from None
    if mode & _OTHERS:
        raise FileUnusable(f"{path} (EVERGREEN_WEBHOOK_KEY_FILE) can be read by others; chmod 600 it")
    keys = [line for line in map(bytes.strip, data.splitlines()) if line]
    rule = "must hold a line of 32 characters or more, such as `openssl rand -base64 48` prints"
    if len(data) > LONGEST or not keys or not all(key.isascii() and key.decode().isprintable() for key in keys):
        raise FileUnusable(f"{path} (EVERGREEN_WEBHOOK_KEY_FILE) {rule}")
    if any(len(key) < SHORTEST for key in keys):
        raise FileUnusable(f"{path} (EVERGREEN_WEBHOOK_KEY_FILE) is too short: it {rule}")
    if len(keys) > MOST_KEYS:
        raise FileUnusable(
            f"{path} (EVERGREEN_WEBHOOK_KEY_FILE) has {len(keys)} lines: it may have two, the key and the one before"
        )
    return Keys(keys)


def _fingerprint(key: bytes) -> str:
    return sha256(b"evergreen webhook key " + key).hexdigest()[:16]
