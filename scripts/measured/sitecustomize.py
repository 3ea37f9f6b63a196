"""Has every Python process that finds this folder on its path tell which lines and branches it reached.

Not coverage's own patch for subprocesses, which is handed on by a variable: a decoder keeps none but Python's.
"""

import os
from pathlib import Path

import coverage

ROOT = Path(__file__).parents[2]

os.environ["COVERAGE_FILE"] = str(ROOT / ".make" / "coverage" / "data")
os.environ["COVERAGE_PROCESS_START"] = str(ROOT / "pyproject.toml")
coverage.process_startup()
