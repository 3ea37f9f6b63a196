"""Finds out at the start what a bucket allows and supports, by trying: writes, lists, reads, and compares."""

import secrets
from typing import Final

from evergreen_storage.storage import AlreadyExists, Conflict, Storage, Unavailable

# How servers without conditions answer a conditional write.
_UNKNOWN: Final = frozenset({400, 405, 501})


async def supports_conditional_writes(storage: Storage) -> bool:
    """Returns whether a write with the right token succeeds, and one with a stale token and a second creation fail.

    Removes what it wrote. Raises Unavailable where the storage cannot be written, listed or read at all.
    """
    key = f"evergreen-probe-{secrets.token_hex(8)}"
    try:
        token = (await storage.put(key, b"1", if_absent=True)).token
    except Unavailable as exc:
        if exc.status not in _UNKNOWN:
            # Without the name of the probe, which tells nobody anything.
            raise Unavailable(f"nothing can be written there: {_cause(exc)}", status=exc.status) from exc
        token = None
        await storage.put(key, b"1")
    try:
        await _try_to_list(storage, key)
        if token is None:
            return False
        # Some stores accept no token at all, and would refuse every write of a document.
        if await _refused(storage, key, token=token) is not False:
            return False
        return await _refused(storage, key, token=token) is True and await _refused(storage, key, token=None) is True
    finally:
        await storage.delete(key)


async def _try_to_list(storage: Storage, key: str) -> None:
    """Lists, and asks for a missing key, both of which a storage refuses without the right to list."""
    async for _ in storage.list(f"{key}/"):
        pass
    await storage.stat(f"{key}-missing")


async def _refused(storage: Storage, key: str, *, token: str | None) -> bool | None:
    """Returns whether a condition prevented a write; None where the server does not know such conditions."""
    try:
        await storage.put(key, b"3", if_absent=token is None, if_token=token)
    except (Conflict, AlreadyExists):
        return True
    except Unavailable as exc:
        if exc.status in _UNKNOWN:
            return None
        raise
    return False


def _cause(exc: Unavailable) -> str:
    return str(exc).rpartition("cannot be written: ")[2]
