"""The dashboard with 1,000 rows of jobs in a real browser: its main thread under 100 changes a second, beside idle.

Compiled and driven by Node (`make browser`, `make typescript`); left out where these were not made.
"""

import json
import subprocess
from pathlib import Path
from statistics import median

from tests.benchmarks.machine import table

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".make/dashboard/dashboard/rows.js"
BROWSER = ROOT / ".make/chromium/chromium"
AIM = 0.15
MOST_SECONDS = 300


def run(*, quick: bool) -> None:
    """Measures and prints. Raises CalledProcessError if a row is lost."""
    compiler = ROOT / "node_modules/.bin/tsc"
    if not compiler.exists() or not BROWSER.exists():
        print("\nrows: left out; `make browser typescript` makes what it needs")
        return
    subprocess.run([compiler, "-p", "tests/dashboard"], cwd=ROOT, check=True, timeout=MOST_SECONDS)
    seconds, rounds = (3, 2) if quick else (10, 5)
    told = subprocess.run(
        ["node", SCRIPT, str(seconds), str(rounds)],
        cwd=ROOT,
        check=True,
        timeout=MOST_SECONDS,
        stdout=subprocess.PIPE,
    )
    measured = json.loads(told.stdout)
    shares = {
        name: [median(each[name][part] for each in measured) for part in ("task", "script")]
        for name in ("idle", "busy")
    }
    rows = [
        [name, *(f"{100 * share:.1f} %" for share in shares[key])]
        for key, name in (("idle", "idle"), ("busy", "100 changes a second"))
    ]
    table(
        f"rows: the dashboard's main thread with 1,000 rows, medians of {rounds} rounds of {seconds} s",
        ["", "all of it, of a core", "scripts"],
        rows,
        f"aim: at most {AIM:.0%} of a core; the browser's own figures, time on a processor",
    )
