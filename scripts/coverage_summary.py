"""Puts together what all processes of a test run reached of the code, and sums it up.

    python scripts/coverage_summary.py [--part [FOLDER…]]

Ends with 1 where data is missing: none at all, more than a few files that cannot be read, or none of the processes that
a server starts or is. With --part, since only some tests ran, those may be missing, and folders limit what is shown.
What it put together stays in .make/coverage/data for `coverage report`.
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
TORN = 0.01
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
    part, folders = arguments[:1] == ["--part"], arguments[1:]
    os.chdir(ROOT)
    processes = len(list(FOLDER.glob("data.*")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CoverageWarning)
        try:
            total, files = _report(folders)
        except CoverageException as exc:
            raise SystemExit(f"coverage: data is missing: {exc}") from exc
    # A process that was killed while it wrote leaves a file that cannot be read; tests kill many, seldom just then.
    for warning in caught:
        print(f"coverage: {warning.message}")
    if len(caught) > processes * TORN:
        raise SystemExit(f"coverage: data is missing: {len(caught)} of {processes} files cannot be read")
    print(f"The files with most that no test reaches, of {len(files)}:")
    for path, reached in sorted(files.items(), key=lambda item: -item[1].missed)[:SHOWN]:
        print(f"  {reached.missed:4}  {path}: {reached.text()}")
    print("Which lines: .venv/bin/coverage report --show-missing --include='*/jobs/*'")
    if sys.version_info < (3, 12):
        print("Python 3.11 counts lines as missed that ran behind an await that raised; 3.12 and newer do not.")
    if not part:
        unmeasured = [path for path in ELSEWHERE if path not in files or files[path].lines < files[path].all_lines / 2]
        if unmeasured:
            raise SystemExit(f"coverage: data is missing: no process was measured that runs {', '.join(unmeasured)}")
    where = f" of {', '.join(folders)}" if folders else ""
    print(f"coverage{where}: {total.text()}, by {processes} processes")


def _report(folders: Sequence[str]) -> tuple[Reached, dict[str, Reached]]:
    measured = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    measured.combine(strict=True)
    measured.save()
    out = FOLDER / "summary.json"
    measured.json_report(outfile=str(out), include=[f"{folder}/*" for folder in folders] or None)
    report = json.loads(out.read_text())
    files = {path: Reached.read(file["summary"]) for path, file in report["files"].items()}
    return Reached.read(report["totals"]), files


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


if __name__ == "__main__":
    main(sys.argv[1:])
