"""TLS by files that may be replaced while the gateway runs: the next connection gets the new ones."""

import logging
import ssl
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Tls"]

logger = logging.getLogger(__name__)


class Tls:
    """The certificate chain, its key and, if given, the clients' authority, in this order; all PEM.

    Raises OSError or ssl.SSLError if they cannot be used.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self.context = _context(paths)
        # By a context of its own for each set of files: an authority that was taken away must not be believed further.
        self._current = self.context
        self.context.sni_callback = self._choose

    def replace(self) -> None:
        """Reads the files again; if they cannot be used, the old ones stay."""
        try:
            self._current = _context(self._paths)
        except (OSError, ValueError) as exc:
            logger.error("certificates of the gateway not replaced", extra={"cause": type(exc).__name__})

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current


def _context(paths: Sequence[Path]) -> ssl.SSLContext:
    chain, key, *authority = paths
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(chain, key, password="")
    if authority:
        context.load_verify_locations(authority[0])
        context.verify_mode = ssl.CERT_REQUIRED
    # A ticket of before would resume a connection without a look at the certificates of now.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context
