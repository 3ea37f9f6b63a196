"""Takes guards away, one after the other, in a copy of this tree, and tells which of them no test misses.

    python -m tests.mutants [WORD…]

With words only the guards whose name holds one of them. Ends with 1 where a mutant survived, or the table is out of
date. A test that hangs without its guard has noticed it, too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
LEFT_OUT = (".git", ".venv*", ".make", "node_modules", "dist", "build", "*.egg-info", "__pycache__", ".*_cache")
LONGEST_SECONDS = 240.0


def main(words: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.guard for word in words)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        missed = [mutant for mutant in chosen if not _noticed(tree, mutant)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} noticed")
    return 1 if missed else 0


def _noticed(tree: Path, mutant: Mutant) -> bool:
    path, begun = tree / mutant.path, time.monotonic()
    whole = path.read_text()
    if whole.count(mutant.old) != 1:
        verdict = "OUT OF DATE: the text is not there once"
    elif _run(tree, mutant.tests) != 0:
        verdict = "OUT OF DATE: the tests fail with the guard in its place"
    else:
        path.write_text(whole.replace(mutant.old, mutant.new))
        try:
            code = _run(tree, mutant.tests)
        finally:
            path.write_text(whole)
        # Whatever else pytest says, such as that it found no test, is no word about the guard.
        verdict = {0: "SURVIVED", 1: "noticed"}.get(code, f"OUT OF DATE: pytest ended with {code}")
    print(f"{verdict:10} {time.monotonic() - begun:5.0f} s  {mutant.guard}", flush=True)
    return verdict == "noticed"


def _run(tree: Path, tests: Sequence[str]) -> int:
    """Runs tests on the copy; returns pytest's exit code, 1 where they hang."""
    packages = os.pathsep.join(str(tree / part) for part in ("server", "storage", "clients/python"))
    # No compiled files: by their time and size one of before a change may be taken for one of after it.
    environ = {**os.environ, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
    command = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    try:
        done = subprocess.run(command, cwd=tree, env=environ, check=False, capture_output=True, timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
