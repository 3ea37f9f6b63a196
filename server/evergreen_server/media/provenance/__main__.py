"""Signs one film in a process of its own, which may be killed at any moment.

Runs as `python -m evergreen_server.media.provenance PARENT`, reads one order from its standard input as JSON, writes
one answer, and ends. Without a film it tries its keys.
"""

import json
import os
import sys
from pathlib import Path

from evergreen_server.media.confinement import bound_memory, end_with

MOST_BYTES = 2 * 1024**3


def main() -> None:
    answers = os.dup(1)
    end_with(int(sys.argv[1]))
    order = json.loads(sys.stdin.buffer.readline())
    os.write(answers, json.dumps(_answer(order)).encode() + b"\n")


def _answer(order: dict[str, object]) -> dict[str, object]:
    certificates, key = Path(str(order.pop("certificates"))), Path(str(order.pop("key")))
    # Loaded here: what it prints is nobody's answer, and what it lacks is one.
    from evergreen_server.media.provenance.signing import check, sign

    bound_memory(MOST_BYTES)
    try:
        if not order:
            check(certificates, key)
            return {}
        film, out = Path(str(order.pop("film"))), Path(str(order.pop("out")))
        return sign(certificates, key, film=film, out=out, **order)  # type: ignore[arg-type] # as the signer sends it
    except OSError as exc:
        return {"refused": f"a file cannot be read or written: {exc.strerror}"}
    except Exception as exc:
        # The library's own words; none of them repeats a key.
        return {"refused": f"{type(exc).__name__}: {exc}"[:500]}


if __name__ == "__main__":
    main()
