"""Other programs, started without a fork of this process.

A fork runs what libraries have registered for it: gRPC starts its threads anew in the child, where they often crash
before the child has become the other program. uvloop forks. `subprocess` calls vfork, which runs nothing of that.
"""

import asyncio
import errno
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import Self

_ENVIRONMENT = ("PATH", "LANG", "LC_", "LD_", "PYTHON", "TMPDIR")
"""Prefixes of what a program sees that works on callers' files. Keys and passwords are not among them."""


def bare_environment() -> dict[str, str]:
    """Returns the environment for a program that a file may take over."""
    return {name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)}


class Process:
    """A program in a session of its own; one socket is its standard input and its standard output."""

    def __init__(
        self,
        popen: "subprocess.Popen[bytes]",
        ended: "asyncio.Future[int]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._popen = popen
        self._ended = ended
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, *command: str, env: Mapping[str, str]) -> Self:
        """Starts a program. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                popen, ended = _start(command, env, theirs)
            try:
                reader, writer = await asyncio.open_unix_connection(sock=ours)
            except BaseException:
                popen.kill()
                raise
        except BaseException:
            ours.close()
            raise
        return cls(popen, ended, reader, writer)

    @property
    def running(self) -> bool:
        """Returns whether the program is not known to have ended."""
        return not self._ended.done()

    async def send(self, data: bytes) -> None:
        """Sends input, which is lost if the program has ended."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def readline(self) -> bytes:
        """Returns the next line of output; without its end, or empty, if the program ended. Raises ValueError if long.

        A line is too long from 64 KiB on.
        """
        try:
            return await self._reader.readline()
        except ConnectionError:
            # In place of the end, where the program left input unread.
            return b""

    async def wait(self) -> int:
        """Waits for the program's end; returns its exit status, or the negative number of the signal that ended it."""
        return await asyncio.shield(self._ended)

    def terminate(self) -> None:
        self._popen.terminate()

    def kill(self) -> None:
        self._popen.kill()

    def close(self) -> None:
        """Closes the socket, with which the program's input ends."""
        self._writer.close()


def _start(
    command: Sequence[str], env: Mapping[str, str], theirs: socket.socket
) -> tuple["subprocess.Popen[bytes]", "asyncio.Future[int]"]:
    """Returns the process and what will hold its exit status, for which a thread of its own waits.

    Those of a pool may all be taken for long.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    end = theirs.fileno()
    popen = subprocess.Popen(command, stdin=end, stdout=end, env=env, start_new_session=True)

    def wait() -> None:
        status = popen.wait()
        # Once the loop is closed nobody asks.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set_result, status)

    try:
        Thread(target=wait, name=f"end of process {popen.pid}", daemon=True).start()
    except RuntimeError as exc:
        popen.kill()
        popen.wait()
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from exc
    return popen, ended
