"""Tokens, and certificates that are made when a test needs them."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from evergreen_server.rpc.access.policy import Right
from evergreen_server.rpc.access.tokens import new_token
from tests.serving import WAIT_SECONDS


class Tokens:
    """A tokens file; each change replaces it whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, str] = {}

    def give(self, name: str, *, projects: Sequence[str] = ("film",), rights: str = "read write") -> str:
        """Adds a token and gives it."""
        token, line = new_token(name, projects, [Right(right) for right in rights.split()])
        self._lines[name] = line
        self.write("\n".join(["# who may call", "", *self._lines.values()]))
        return token

    def take(self, name: str) -> None:
        """Revokes a token."""
        del self._lines[name]
        self.write("\n".join(self._lines.values()))

    def change(self, name: str, old: str, new: str) -> None:
        """Changes the entry of a token."""
        self._lines[name] = self._lines[name].replace(old, new)
        self.write("\n".join(self._lines.values()))

    def write(self, text: str) -> None:
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.replace(self.path)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate and its key, as PEM."""

    name: x509.Name
    private: ec.EllipticCurvePrivateKey
    pem: bytes
    key: bytes


def certificate(name: str, issuer: Certificate | None = None) -> Certificate:
    """Makes a certificate for localhost that an authority issued, or with no issuer an authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(here), critical=False)
    signed = builder.sign(issuer.private if issuer else private, hashes.SHA256())
    return Certificate(
        name=subject,
        private=private,
        pem=signed.public_bytes(serialization.Encoding.PEM),
        key=private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


@asynccontextmanager
async def logged(event: str, seconds: float = WAIT_SECONDS) -> AsyncIterator[None]:
    """Does what is inside, then waits until the server has logged an event about replaced files."""
    seen = asyncio.Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == event:
                seen.set()

    logger, handler = logging.getLogger("evergreen_server.runtime.reload"), Handler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
        await asyncio.wait_for(seen.wait(), seconds)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


TAKEN = "replaced file taken"
REFUSED = "replaced file refused, going on with the old one"
