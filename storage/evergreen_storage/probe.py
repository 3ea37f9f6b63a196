"""Finds out at the start what a bucket does, by doing it: whether it can be written, and whether it compares."""

import secrets

from .storage import AlreadyExists, Conflict, Storage


async def honours_conditions(storage: Storage) -> bool:
    """Tells whether a write with the right token is done, and one with a stale token and a second creation refused.

    Leaves nothing behind. Raises Unavailable where the storage cannot be written at all.
    """
    key = f"evergreen-probe-{secrets.token_hex(8)}"
    first = await storage.put(key, b"1", if_absent=True)
    try:
        if first.token is None:
            return False
        # Some stores take no token for the right one, and would refuse each write of a document for ever.
        if await _refused(storage, key, token=first.token):
            return False
        return await _refused(storage, key, token=first.token) and await _refused(storage, key, token=None)
    finally:
        await storage.delete(key)


async def _refused(storage: Storage, key: str, *, token: str | None) -> bool:
    try:
        await storage.put(key, b"3", if_absent=token is None, if_token=token)
    except (Conflict, AlreadyExists):
        return True
    return False
