"""Other programs are started without a fork, and end when they are told to."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evergreen_server.runtime.processes import Process

ENV = {"PATH": os.environ["PATH"]}
FORKS = """
import asyncio, os, sys
import uvloop
from evergreen_server.runtime.processes import Process

forks = []
os.register_at_fork(before=lambda: forks.append("forked"))

async def ours():
    process = await Process.start("cat", env=dict(os.environ))
    await process.send(b"said\\n")
    line = await process.readline()
    process.close()
    return line, await process.wait()

async def uvloops():
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()

print(uvloop.run(ours()), forks)
uvloop.run(uvloops())
print(forks)
"""


def children() -> list[str]:
    """Returns the names of the programs that this process has started and not yet waited for."""
    pids = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]


async def test_a_program_answers_and_ends_with_its_input() -> None:
    process = await Process.start("cat", env=ENV)
    await process.send(b"one\ntwo\n")

    assert [await process.readline(), await process.readline()] == [b"one\n", b"two\n"]
    assert process.running
    process.close()
    async with asyncio.timeout(60):
        assert await process.wait() == 0
    assert not process.running


def test_a_program_is_started_without_the_fork_that_uvloop_makes() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines() == ["(b'said\\n', 0) []", "['forked']"]


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
async def test_a_signal_that_ends_a_program_is_its_exit_status(by: signal.Signals) -> None:
    process = await Process.start("cat", env=ENV)

    process.kill() if by is signal.SIGKILL else process.terminate()

    async with asyncio.timeout(60):
        assert await process.wait() == -by
        assert await process.readline() == b""
    process.kill()
    await process.send(b"lost\n")
    process.close()


async def test_a_program_that_leaves_input_unread_has_only_ended() -> None:
    process = await Process.start("sh", "-c", "read line; exit 3", env=ENV)
    await process.send(b"read\nunread\n")

    async with asyncio.timeout(60):
        assert (await process.readline(), await process.wait()) == (b"", 3)
    process.close()


async def test_whoever_gives_up_waiting_leaves_the_end_to_the_next() -> None:
    process = await Process.start("cat", env=ENV)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await process.wait()

    process.close()

    async with asyncio.timeout(60):
        assert await process.wait() == 0


async def test_a_program_that_is_not_there_leaves_nothing_open() -> None:
    # Threads of tests before this one may end meanwhile.
    before = set(threading.enumerate())

    with pytest.raises(FileNotFoundError):
        await Process.start("there-is-no-such-program", env=ENV)

    assert set(threading.enumerate()) <= before


async def test_a_program_that_no_thread_can_wait_for_is_ended_again() -> None:
    usual = threading.stack_size(1 << 46)
    try:
        with pytest.raises(BlockingIOError):
            await Process.start("cat", env=ENV)
    finally:
        threading.stack_size(usual)

    assert "cat" not in children()


async def test_a_cancelled_start_leaves_no_program() -> None:
    before = set(threading.enumerate())
    starting = asyncio.create_task(Process.start("cat", env=ENV))
    # It runs until it waits for the loop, when the program has been started.
    await asyncio.sleep(0)
    (waiter,) = set(threading.enumerate()) - before

    starting.cancel()
    await asyncio.wait({starting})

    await asyncio.to_thread(waiter.join, 20)
    assert not waiter.is_alive()
    assert "cat" not in children()
