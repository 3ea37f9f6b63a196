"""Loads the server once, and then becomes it as often as it is asked to: a fork takes a hundredth of a start.

Whoever connects to its listener sends an order as JSON, and with it two files, for stdout and stderr. It answers with
the pid of the process that does the order, and later with its exit code, each in a line. A process is killed when
whoever asked for it leaves, and all of them are when this one's own input ends.
"""

import gc
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

ORDER_BYTES = 1 << 20


class Order(NamedTuple):
    """What a process shall be: Python's arguments, its variables and its folder."""

    program: Sequence[str]
    environ: Mapping[str, str]
    folder: str


class Child(NamedTuple):
    pid: int
    pidfd: int
    caller: socket.socket


class Preloader:
    """Forks a process for each order."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}
        for file in (listener, sys.stdin):
            self._selector.register(file, selectors.EVENT_READ)

    def run(self) -> Order:
        """Returns in the forked processes alone."""
        while True:
            for key, _ in self._selector.select():
                child: Child | None = key.data
                if key.fileobj is sys.stdin:
                    self._end()
                if key.fileobj is self._listener:
                    order = self._fork()
                    if order is not None:
                        return order
                elif child is None or child.pid not in self._children:
                    continue
                elif key.fileobj is child.caller:
                    # It says nothing more, so it has left.
                    self._selector.unregister(child.caller)
                    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
                else:
                    self._reap(child)

    def _fork(self) -> Order | None:
        caller, _ = self._listener.accept()
        data, files, _, _ = socket.recv_fds(caller, ORDER_BYTES, 2)
        if not data:
            caller.close()
            return None
        pid = os.fork()
        if pid == 0:
            caller.close()
            self._forget()
            with open(os.devnull) as nothing:
                for number, file in enumerate((nothing.fileno(), *files)):
                    os.dup2(file, number)
            for file in files:
                os.close(file)
            return Order(*json.loads(data))
        for file in files:
            os.close(file)
        child = Child(pid, os.pidfd_open(pid), caller)
        self._children[pid] = child
        for each in (child.pidfd, caller):
            self._selector.register(each, selectors.EVENT_READ, child)
        _say(caller, pid)
        return None

    def _reap(self, child: Child) -> None:
        ended = os.waitid(os.P_PID, child.pid, os.WEXITED)
        assert ended is not None
        del self._children[child.pid]
        self._selector.unregister(child.pidfd)
        with suppress(KeyError):
            self._selector.unregister(child.caller)
        os.close(child.pidfd)
        _say(child.caller, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
        child.caller.close()

    def _forget(self) -> None:
        """Closes, in a forked process, what belongs to the one that forks."""
        self._selector.close()
        self._listener.close()
        for child in self._children.values():
            os.close(child.pidfd)
            child.caller.close()

    def _end(self) -> NoReturn:
        for child in self._children.values():
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        os._exit(0)


def _say(caller: socket.socket, number: int) -> None:
    with suppress(ConnectionError):
        caller.sendall(f"{number}\n".encode())


def become(order: Order) -> None:
    """Does what Python would with these arguments."""
    os.environ.clear()
    os.environ.update(order.environ)
    os.chdir(order.folder)
    random.seed()
    gc.enable()
    first, *rest = order.program
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    gc.disable()
    from evergreen_server import __main__, app  # noqa: F401 # what it is all about

    become(Preloader(socket.socket(fileno=int(sys.argv[1]))).run())
