"""Threads share few arenas, as glibc's own report of them shows."""

import subprocess
import sys

from evergreen_server.runtime.arenas import ARENAS

REPORT = """
import ctypes, threading
from evergreen_server.runtime.arenas import bound_arenas

{call}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(8)

def take():
    libc.malloc(ctypes.c_size_t(1000))
    together.wait()

threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


def arenas(call: str) -> int:
    """Counts the arenas of a process whose eight threads take memory, after a call."""
    done = subprocess.run([sys.executable, "-c", REPORT.format(call=call)], capture_output=True, check=True)
    return done.stdout.count(b"<heap nr=")


def test_eight_threads_share_two_arenas() -> None:
    assert arenas("bound_arenas()") == ARENAS < arenas("")
