"""What a process that works on callers' files takes of the machine at most, enforced by the system."""

import resource
import sys
from pathlib import Path


def bound_memory(most: int) -> None:
    """Lets this process take so many bytes of memory more than it has, and forbids core dumps."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        most += pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
