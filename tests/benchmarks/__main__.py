"""`python -m tests.benchmarks [--quick] [NAME …]` measures, each time beside a named reference, and prints tables.

An aim that is missed is printed, not failed: what a machine shared with others measures is no verdict. What must
hold on any machine (nothing lost, nothing refused, every answer right) is asserted, and ends the run with an error.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable

# Read when gRPC is loaded, and before any of our modules loads it: nothing here forks without exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from tests.benchmarks import (
    assets,
    audit,
    beside,
    client,
    decoding,
    delivery,
    fanout,
    flight,
    gateway,
    history,
    idle,
    jobs,
    live,
    looks,
    million,
    polling,
    prepare,
    refusals,
    renders,
    rows,
    scene,
    scripts,
    startup,
    status,
    storage,
    takeover,
    tracing,
    watchers,
    webhooks,
)

BENCHMARKS: dict[str, Callable[[bool], None]] = {
    "polling": lambda _quick: polling.run(),
    "status": lambda quick: status.run(quick=quick),
    "tracing": lambda quick: tracing.run(quick=quick),
    "client": lambda quick: client.run(quick=quick),
    "startup": lambda quick: startup.run(quick=quick),
    "watchers": lambda quick: watchers.run(quick=quick),
    "fanout": lambda quick: fanout.run(quick=quick),
    "live": lambda quick: live.run(quick=quick),
    "jobs": lambda quick: jobs.run(quick=quick),
    "idle": lambda quick: idle.run(quick=quick),
    "flight": lambda quick: flight.run(quick=quick),
    "prepare": lambda quick: prepare.run(quick=quick),
    "decoding": lambda quick: decoding.run(quick=quick),
    "takeover": lambda quick: takeover.run(quick=quick),
    "delivery": lambda quick: delivery.run(quick=quick),
    "assets": lambda quick: assets.run(quick=quick),
    "gateway": lambda quick: gateway.run(quick=quick),
    "rows": lambda quick: rows.run(quick=quick),
    "scene": lambda quick: scene.run(quick=quick),
    "scripts": lambda quick: scripts.run(quick=quick),
    "renders": lambda quick: renders.run(quick=quick),
    "beside": lambda quick: beside.run(quick=quick),
    "history": lambda quick: history.run(quick=quick),
    "million": lambda quick: million.run(quick=quick),
    "audit": lambda quick: audit.run(quick=quick),
    "looks": lambda quick: looks.run(quick=quick),
    "refusals": lambda quick: refusals.run(quick=quick),
    "storage": lambda quick: storage.run(quick=quick),
    "webhooks": lambda quick: webhooks.run(quick=quick),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description="Measures, beside a reference each time.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; default all")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a look and not a verdict")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BENCHMARKS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    start = time.monotonic()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    took: list[str] = []
    for name in arguments.names or BENCHMARKS:
        begun = time.monotonic()
        BENCHMARKS[name](arguments.quick)
        took.append(f"{name} {time.monotonic() - begun:.0f} s")
    print(f"\n{time.monotonic() - start:.0f} s in all: {', '.join(took)}")


if __name__ == "__main__":
    main()
