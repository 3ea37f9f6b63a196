"""The server's certificate and its clients' authority; both may be replaced while it runs."""

import ssl
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import grpc

from evergreen_server.runtime.reload import FileUnusable


class Certificates:
    """Gives gRPC the current certificates for each new connection; open connections keep theirs."""

    def __init__(self, first: grpc.ServerCertificateConfiguration, *, client_ca: bool) -> None:
        self._first = first
        self._client_ca = client_ca
        # gRPC asks from its own threads; both ends of a deque are thread-safe.
        self._newer: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)

    def replace(self, newer: grpc.ServerCertificateConfiguration) -> None:
        """Sets the certificates for new connections."""
        self._newer.append(newer)

    def credentials(self) -> grpc.ServerCredentials:
        """Returns a server's credentials; with a client authority, only clients with its certificates can connect."""
        return grpc.dynamic_ssl_server_credentials(
            self._first, self._fetch, require_client_authentication=self._client_ca
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration:
        try:
            return self._newer.pop()
        except IndexError:
            return None  # type: ignore[return-value]  # "no change", which the stubs forgot


def read_certificates(paths: Sequence[Path], contents: Sequence[bytes]) -> grpc.ServerCertificateConfiguration:
    """Checks a certificate chain, its key and, if given, the clients' authority; all PEM. Raises FileUnusable."""
    chain, key, *authority = contents
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # By path, since ssl takes no key from memory. If the files were replaced just now, gRPC would refuse a pair
        # that does not match and keep its own, and the next poll finds both.
        context.load_cert_chain(paths[0], paths[1], password="")
    except (ssl.SSLError, OSError, ValueError) as exc:
        # The text must not repeat the contents of a key.
        match _cause(exc):
            case "KEY_VALUES_MISMATCH":
                raise FileUnusable("the key is not that of the certificate") from None
            case cause:
                raise FileUnusable(f"not a PEM certificate and the unencrypted key that fits it ({cause})") from None
    if authority:
        try:
            context.load_verify_locations(cadata=authority[0].decode("ascii"))
        except (ssl.SSLError, ValueError) as exc:
            raise FileUnusable(f"the clients' authority is not a PEM certificate ({_cause(exc)})") from None
    return grpc.ssl_server_certificate_configuration([(key, chain)], authority[0] if authority else None)


def _cause(exc: Exception) -> str:
    return getattr(exc, "reason", None) or type(exc).__name__
