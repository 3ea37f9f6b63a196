"""Ids of jobs: UUID version 7 (RFC 9562), so that they sort by the time they were made."""

import os
import time
import uuid


def new_job_id() -> str:
    """Makes an id from the milliseconds since 1970 and 74 random bits, in lower case."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds << 80) | random
    value = value & ~(0xF << 76) | (7 << 76)
    value = value & ~(0x3 << 62) | (2 << 62)
    return str(uuid.UUID(int=value))
