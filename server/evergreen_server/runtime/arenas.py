"""The memory allocator's settings for a process of many threads, some of which handle bodies of megabytes."""

import ctypes

ARENAS = 2
_M_ARENA_MAX = -8
"""As in glibc's malloc.h."""


def bound_arenas() -> None:
    """Has glibc keep memory for all threads in two arenas instead of eight for each core.

    What a thread frees stays in its arena, where other threads cannot use it. Threads that run already keep the arenas
    that they have. With another C library, nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
