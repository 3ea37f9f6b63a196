"""Puts together what all processes of a test run reached of the code, and sums it up.

    python scripts/coverage_summary.py [--part]

Ends with 1 where data is missing: none at all, none that can be read, or none of the processes that a server starts or
is; with --part, since only some tests ran, those may be missing. What it put together stays in .make/coverage/data for
`coverage report`.
"""

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import coverage
from coverage.exceptions import CoverageException, CoverageWarning

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".make" / "coverage"
SHOWN = 15
ELSEWHERE = ("server/evergreen_server/__main__.py", "server/evergreen_server/media/decoder.py")
"""What runs in processes of its own alone. Where less than half of it was reached, these were not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How many of the lines and branches of one file, or of all, were reached."""

    lines: int
    all_lines: int
    branches: int
    all_branches: int

    @classmethod
    def read(cls, summary: Mapping[str, int]) -> Self:
        return cls(
            lines=summary["covered_lines"],
            all_lines=summary["num_statements"],
            branches=summary["covered_branches"],
            all_branches=summary["num_branches"],
        )

    @property
    def missed(self) -> int:
        return self.all_lines - self.lines + self.all_branches - self.branches

    def text(self) -> str:
        lines, branches = _percent(self.lines, self.all_lines), _percent(self.branches, self.all_branches)
        return f"lines {lines} of {self.all_lines}, branches {branches} of {self.all_branches}"


def main(arguments: Sequence[str]) -> None:
    os.chdir(ROOT)
    processes = len(list(FOLDER.glob("data.*")))
    with warnings.catch_warnings():
        # A file of a process that was killed while it wrote would else be left out with a word that nobody reads.
        warnings.simplefilter("error", CoverageWarning)
        try:
            total, files = _report()
        except (CoverageException, CoverageWarning) as exc:
            raise SystemExit(f"coverage: data is missing: {exc}") from exc
    print(f"The files with most that no test reaches, of {len(files)}:")
    for path, reached in sorted(files.items(), key=lambda item: -item[1].missed)[:SHOWN]:
        print(f"  {reached.missed:4}  {path}: {reached.text()}")
    print("Which lines: .venv/bin/coverage report --show-missing --include='*/jobs/*'")
    if "--part" not in arguments:
        unmeasured = [path for path in ELSEWHERE if path not in files or files[path].lines < files[path].all_lines / 2]
        if unmeasured:
            raise SystemExit(f"coverage: data is missing: no process was measured that runs {', '.join(unmeasured)}")
    print(f"coverage: {total.text()}, by {processes} processes")


def _report() -> tuple[Reached, dict[str, Reached]]:
    measured = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    measured.combine(strict=True)
    measured.save()
    out = FOLDER / "summary.json"
    measured.json_report(outfile=str(out))
    report = json.loads(out.read_text())
    files = {path: Reached.read(file["summary"]) for path, file in report["files"].items()}
    return Reached.read(report["totals"]), files


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


if __name__ == "__main__":
    main(sys.argv[1:])
