"""The tokens file and the certificates replaced by what is neither: it is logged, and the last good ones stay."""

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from evergreen_server.config import Config, ConfigError
from evergreen_server.rpc.access.policy import Right
from evergreen_server.rpc.access.tls import read_certificates
from evergreen_server.rpc.access.tokens import new_token, read_tokens
from evergreen_server.runtime.reload import FileUnusable, ReloadableFile
from tests.rpc.identities import REFUSED, certificate, logged

_, LINE = new_token("studio", ["film"], [Right.READ])
_, OTHER = new_token("other", ["film"], [Right.READ])
DEEP = 100_000


def wrote(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data)


def linked(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def socketed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        # The path of a socket may have 108 bytes.
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


NO_FILES: list[tuple[str, Callable[[Path], None]]] = [
    ("a named pipe", os.mkfifo),
    ("a folder", Path.mkdir),
    ("a socket", socketed),
    ("nothing", lambda _: None),
    ("a link to itself", lambda path: path.symlink_to(path)),
    ("a link to nothing", linked("/nowhere/at/all")),
    ("a link to a device without end", linked("/dev/zero")),
    ("a link to an empty device", linked("/dev/null")),
    ("a link to a folder", linked("/")),
    ("a gigabyte", sparse),
    ("nothing in it", wrote(b"")),
    ("no UTF-8", wrote(LINE.encode() + b"\n\xff\xfe\n")),
    ("UTF-16", wrote(LINE.encode("utf-16"))),
    ("a part of a character", wrote("# ü".encode()[:-1])),
    ("open brackets", wrote(b"[" * DEEP)),
    ("open objects", wrote(b'{"a":' * DEEP)),
    ("brackets in a member", wrote(b'{"name": ' + b"[" * DEEP + b"]" * DEEP + b"}")),
    ("zero bytes", wrote(bytes(10_000))),
    ("half a line", wrote(LINE.encode()[:-10])),
    ("a number of 10,000 digits", wrote(b"9" * 10_000)),
    ("200,000 faulty lines", wrote(b"x\n" * 200_000)),
    ("a line of 10 MB", wrote(b'"' + b"x" * 10_000_000 + b'"')),
    ("a web page", wrote(b"<!doctype html><title>404</title>")),
    ("a certificate", wrote(certificate("CA").pem)),
]
BAD_TOKENS: list[tuple[str, Callable[[Path], None]]] = [
    ("a name that is a lone surrogate", wrote(LINE.replace("studio", "\\ud800").encode())),
    ("a name with a line break", wrote(LINE.replace("studio", "a\\nb").encode())),
    ("a name that is a number", wrote(LINE.replace('"studio"', "7").encode())),
    ("a right that is a list", wrote(LINE.replace('"read"', "[]").encode())),
    ("rights that are an object", wrote(LINE.replace('["read"]', '{"read": 1}').encode())),
    ("a project with a zero byte", wrote(LINE.replace("film", "film\\u0000").encode())),
    ("a project that is no id", wrote(LINE.replace("film", "../film").encode())),
    ("a digest that is short", wrote(LINE.replace('"sha256": "', '"sha256": "0').encode())),
    ("the same line twice", wrote(f"{LINE}\n{LINE}".encode())),
    ("the same name twice", wrote(f"{LINE}\n{OTHER.replace('other', 'studio')}".encode())),
    ("a member more", wrote(LINE.replace("{", '{"admin": true, ').encode())),
    ("a list", wrote(b"[]")),
    ("null", wrote(b"null")),
]


def put(path: Path, make: Callable[[Path], None]) -> None:
    """Puts something into a path's place, as a rename does where it can."""
    fresh = path.with_name("fresh")
    make(fresh)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    if fresh.is_dir() and not fresh.is_symlink():
        path.unlink()
        fresh.rename(path)
    elif fresh.is_symlink() or fresh.exists():
        fresh.replace(path)
    else:
        path.unlink()


async def noticed(
    watched: "ReloadableFile[object]", path: Path, make: Callable[[Path], None], good: bytes
) -> list[object]:
    """Puts something into a good file's place and then another good one, and gives what was taken."""
    taken: list[object] = []
    found = asyncio.Event()

    def take(value: object) -> None:
        taken.append(value)
        found.set()

    watch = asyncio.create_task(watched.watch(take))
    try:
        async with logged(REFUSED, seconds=20):
            put(path, make)
        assert taken == []
        put(path, wrote(good))
        await asyncio.wait_for(found.wait(), 60)
    finally:
        watch.cancel()
        await asyncio.wait([watch])
    return taken


@pytest.mark.parametrize(("what", "make"), NO_FILES + BAD_TOKENS, ids=[name for name, _ in NO_FILES + BAD_TOKENS])
async def test_a_faulty_tokens_file_is_logged_and_changes_nothing(
    tmp_path: Path, what: str, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens"
    path.write_text(LINE)
    path.chmod(0o600)
    tokens = ReloadableFile([path], read_tokens, poll_seconds=0.01)
    tokens.read()

    taken = await noticed(tokens, path, make, OTHER.encode())

    assert [[caller.name for caller in callers.values()] for callers in taken] == [["other"]]  # type: ignore[attr-defined]
    causes = [record.cause for record in caplog.records if record.getMessage() == REFUSED]
    assert all(str(path) in cause and len(cause) < 2000 for cause in causes)


@pytest.mark.parametrize(("what", "make"), NO_FILES[:-1], ids=[name for name, _ in NO_FILES[:-1]])
@pytest.mark.parametrize("number", [0, 1, 2], ids=["chain", "key", "authority"])
async def test_a_faulty_certificate_is_logged_and_changes_nothing(
    tmp_path: Path, what: str, make: Callable[[Path], None], number: int
) -> None:
    authority = certificate("CA")
    server = certificate("server", authority)
    pems = (server.pem, server.key, authority.pem)
    paths = [tmp_path / name for name in ("chain", "key", "authority")]
    for path, pem in zip(paths, pems, strict=True):
        path.write_bytes(pem)
    files = ReloadableFile(paths, partial(read_certificates, paths), poll_seconds=0.01)
    files.read()

    assert len(await noticed(files, paths[number], make, pems[number])) == 1


@pytest.mark.parametrize("name", ["EVERGREEN_TOKENS_FILE", "EVERGREEN_TLS_CERT"])
@pytest.mark.parametrize(("what", "make"), NO_FILES[:7], ids=[name for name, _ in NO_FILES[:7]])
def test_a_server_is_not_started_with_what_is_no_file(
    tmp_path: Path, name: str, what: str, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "file"
    make(path)

    with pytest.raises(ConfigError, match=name):
        Config.from_env({name: str(path)}, sandbox=True)


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tokens")

    with pytest.raises(FileUnusable, match="no regular file"):
        ReloadableFile([tmp_path / "tokens"], read_tokens).read()
