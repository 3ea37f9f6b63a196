"""What the clients and the command line read from the environment: where the service is, and how to reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from evergreen.security import Tls, Token

DEFAULT_ENDPOINT = "127.0.0.1:50051"
_NO = frozenset({"", "0", "false", "no", "off", "n", "f"})
_YES = frozenset({"1", "true", "yes", "on", "y", "t"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """EVERGREEN_ENDPOINT, EVERGREEN_TOKEN or EVERGREEN_TOKEN_FILE, and EVERGREEN_TLS, _TLS_CA, _TLS_CLIENT_CERT and
    _TLS_CLIENT_KEY, which imply EVERGREEN_TLS."""

    endpoint: str = DEFAULT_ENDPOINT
    token: Token | None = field(default=None, repr=False)
    """EVERGREEN_TOKEN comes before the file, which is read again for each call, so that it may be renewed."""
    tls: Tls | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Returns what is set. Raises OSError for a file that cannot be read, ValueError for what makes no sense."""
        token: Token | None = environ.get("EVERGREEN_TOKEN") or None
        if token is None and (path := environ.get("EVERGREEN_TOKEN_FILE")):
            first_line(path)
            token = partial(first_line, path)
        return cls(endpoint=environ.get("EVERGREEN_ENDPOINT") or DEFAULT_ENDPOINT, token=token, tls=_tls(environ))


def first_line(path: str) -> str:
    """Returns the first line of a file. Raises OSError, ValueError if it is not text."""
    with open(path, encoding="utf-8") as file:
        return file.readline().strip()


def _tls(environ: Mapping[str, str]) -> Tls | None:
    said = environ.get("EVERGREEN_TLS", "").strip().lower()
    if said not in _YES | _NO:
        raise ValueError(f"EVERGREEN_TLS must be 1 or 0, not {said[:40]!r}")
    ca, chain, key = (environ.get(f"EVERGREEN_TLS_{name}") or None for name in ("CA", "CLIENT_CERT", "CLIENT_KEY"))
    if said not in _YES and not (ca or chain or key):
        return None
    return Tls.from_files(root_certificates=ca, certificate_chain=chain, private_key=key)
