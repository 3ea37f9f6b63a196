"""What a process that works on callers' files takes of the machine at most, enforced by the system."""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_NICE = 10
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Has this process end with its parent, after more urgent ones, and with nothing of what libraries print."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # It may have ended before it was watched.
        if os.getppid() != parent:
            os._exit(0)
    os.nice(_NICE)
    nobody = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, 1)
    os.dup2(nobody, 2)


def bound_memory(most: int) -> None:
    """Lets this process take so many bytes of memory more than it has, and forbids core dumps."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        most += pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
