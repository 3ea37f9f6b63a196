"""Object stores on this machine, each a process of its own, with buckets to write to and to look into from outside."""

import base64
import hmac
import http.client
import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_NUMBERS = count(1)

# What every emulator of Azure's storage accepts.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Bucket(Protocol):
    """A fresh bucket of an emulator, as the tests see it."""

    url: str
    options: Mapping[str, str]

    def put(self, key: str, data: bytes) -> None:
        """Stores an object under any key, as somebody else's tool would."""

    def listed(self) -> list[str]:
        """Lists all keys, whatever they look like."""

    def uploads(self) -> list[str]:
        """Lists the keys of uploads that were begun and neither finished nor aborted."""


class Emulator(Protocol):
    """A running object store."""

    def bucket(self) -> Bucket:
        """Makes a bucket."""


def request(address: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """Sends a request as it is, with a path that no client would send."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise AssertionError(f"{method} {path}: {answer.status} {data[:500]!r}")
    return data


@contextmanager
def running(command: list[str], ready: str, *, cwd: Path, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Runs a server until the end of the context. Yields the address that it says it listens on."""
    with (
        (cwd / "server.log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {}), "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                found = re.search(ready, line.decode(errors="replace"))
                if found:
                    break
            else:
                raise AssertionError(f"{command[0]} did not start: see {log.name}")
            # What a server says from now on must not fill the pipe and stop it.
            with subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL) as drain:
                process.stdout.close()
                try:
                    yield found[1]
                finally:
                    # Also where the context fails: the drain ends with what it drains.
                    process.terminate()
                    drain.wait(60)
        finally:
            process.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Bucket:
    """A bucket of the S3 emulator."""

    address: str
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/team/files"

    @property
    def options(self) -> Mapping[str, str]:
        return {"endpoint_url": f"http://{self.address}", "key": "key", "secret": "secret-value"}

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Sends a request that nothing but the bucket's owner may."""
        return request(self.address, method, path, body)

    def put(self, key: str, data: bytes) -> None:
        self.request("PUT", f"/{self.name}/{urllib.parse.quote(key)}", data)

    def listed(self) -> list[str]:
        answer = self.request("GET", f"/{self.name}?list-type=2").decode()
        return re.findall(r"<Key>(.*?)</Key>", answer)

    def uploads(self) -> list[str]:
        return re.findall(r"<Key>(.*?)</Key>", self.request("GET", f"/{self.name}?uploads").decode())


class S3Emulator:
    """The S3 of moto."""

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator["S3Emulator"]:
        command = [sys.executable, str(Path(__file__).with_name("s3_server.py"))]
        with running(command, r"Running on http://(\S+)", cwd=folder) as address:
            yield cls(address)

    def bucket(self) -> S3Bucket:
        made = S3Bucket(address=self.address, name=f"bucket-{next(_NUMBERS)}")
        request(self.address, "PUT", f"/{made.name}")
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleBucket(S3Bucket):
    """A bucket of the Google emulator, whose listings look like S3's."""

    credentials: str

    @property
    def url(self) -> str:
        return f"gs://{self.name}/team/files"

    @property
    def options(self) -> Mapping[str, str]:
        return {"endpoint_url": f"http://{self.address}", "token": self.credentials}


class GoogleEmulator:
    """A Google Cloud Storage of our own."""

    def __init__(self, address: str, credentials: Path) -> None:
        self.address = address
        self.credentials = credentials

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator["GoogleEmulator"]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "client_email": "service@example.test",
            "private_key_id": "1",
            "private_key": key.decode(),
            "disable_oauth": True,
        }
        credentials = folder / "account.json"
        credentials.write_text(json.dumps(account))
        command = [sys.executable, str(Path(__file__).with_name("gs_server.py"))]
        with running(command, r"listening on (\S+)", cwd=folder) as address:
            yield cls(address, credentials)

    def bucket(self) -> GoogleBucket:
        name = f"bucket-{next(_NUMBERS)}"
        request(self.address, "PUT", f"/{name}")
        return GoogleBucket(address=self.address, name=name, credentials=str(self.credentials))


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureBucket:
    """A container of the Azure emulator."""

    address: str
    name: str

    @property
    def url(self) -> str:
        return f"az://{self.name}/team/files"

    @property
    def options(self) -> Mapping[str, str]:
        return {
            "account_name": ACCOUNT,
            "account_key": ACCOUNT_KEY,
            "endpoint_url": f"http://{self.address}/{ACCOUNT}",
        }

    def put(self, key: str, data: bytes) -> None:
        self._request("PUT", f"/{ACCOUNT}/{self.name}/{urllib.parse.quote(key)}", data, {"x-ms-blob-type": "BlockBlob"})

    def listed(self) -> list[str]:
        return self._names("")

    def uploads(self) -> list[str]:
        # Blocks that no list names belong to no blob, and end by themselves.
        uncommitted = self._names("&include=uncommittedblobs")
        return [name for name in uncommitted if name not in self.listed()]

    def make(self) -> None:
        """Makes the container itself."""
        self._request("PUT", f"/{ACCOUNT}/{self.name}?restype=container")

    def _names(self, more: str) -> list[str]:
        answer = self._request("GET", f"/{ACCOUNT}/{self.name}?restype=container&comp=list{more}")
        return re.findall(r"<Name>(.*?)</Name>", answer.decode())

    def _request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """Signs a request as Azure wants it."""
        date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        named = {**(headers or {}), "x-ms-date": date, "x-ms-version": "2023-11-03"}
        resource, _, query = path.partition("?")
        lines = "".join(f"{name}:{value}\n" for name, value in sorted(named.items()))
        asked = "".join(f"\n{name}:{value}" for name, value in sorted(urllib.parse.parse_qsl(query)))
        length = str(len(body)) if body else ""
        signed = f"{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{lines}/{ACCOUNT}{resource}{asked}"
        signature = base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), signed.encode(), "sha256")).decode()
        return request(self.address, method, path, body, {**named, "Authorization": f"SharedKey {ACCOUNT}:{signature}"})


class AzureEmulator:
    """Azurite, from the tools that come by npm."""

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator["AzureEmulator"]:
        program = Path(__file__).parents[2] / "node_modules/.bin/azurite-blob"
        command = [str(program), "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(folder)]
        command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        with running(command, r"successfully listens on http://(\S+)", cwd=folder) as address:
            yield cls(address)

    def bucket(self) -> AzureBucket:
        made = AzureBucket(address=self.address, name=f"bucket-{next(_NUMBERS)}")
        made.make()
        return made
