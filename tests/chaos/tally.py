"""What a run of chaos came to: what was done to the service, and what it got wrong."""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Tally:
    """Figures, and every violation by name. A job that needed its caller is none, but is explained."""

    kills: int = 0
    pauses: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    films: list[str] = field(default_factory=list)
    """How each run of a film ended."""
    refused: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    overspent: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    missed_ends: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    attention: dict[str, str] = field(default_factory=dict)
    outages: dict[str, tuple[int, float]] = field(default_factory=dict)
    """How many jobs each outage was lived through by, and in how many seconds after it the last of them had ended."""

    @property
    def violations(self) -> Mapping[str, list[str]]:
        return {
            "requests that no server accepted, though asked again and again": self.refused,
            "ended jobs whose end its first watcher was told only after minutes": self.late,
            "jobs lost (not ended, and not waiting for an answer)": self.lost,
            "tasks paid twice or that nobody accounts for": self.paid,
            "sums of films that were exceeded, or that nobody approved": self.overspent,
            "torn files, or clips that are not whole": self.torn,
            "temporary files that no start removes": self.left,
            "terminal events missed by a watcher": self.missed_ends,
            "other changes missed, doubled or out of order": self.missed,
            "jobs whose life breaks the contract": self.broken,
        }

    @property
    def sound(self) -> bool:
        return not any(self.violations.values())

    def conclude(self, title: str, folder: Path) -> bool:
        """Prints the figures; removes what the run left in the folder, or tells of it where something went wrong."""
        self.print(title)
        if self.sound:
            shutil.rmtree(folder)
        else:
            print(f"  logs and scenes are kept in {folder}", flush=True)
        return self.sound

    def print(self, title: str) -> None:
        ends = ", ".join(f"{number} {name}" for name, number in sorted(self.ended.items()))
        done = f"{len(self.outages)} outages" if self.outages else f"{self.kills} kills, {self.pauses} pauses"
        print(f"\n{title}: {done}, {sum(self.ended.values())} jobs ({ends})")
        if self.films:
            runs = ", ".join(f"{number} {name}" for name, number in sorted(Counter(self.films).items()))
            print(f"  {len(self.films):4} runs of films ({runs})")
        for name, (jobs, seconds) in self.outages.items():
            print(f"  {jobs:4} jobs through this: {name}; all ended {seconds:.1f} s after it")
        for name, found in self.violations.items():
            print(f"  {len(found):4} {name}")
            for text in found[:20]:
                print(f"         {text}")
        print(f"  {len(self.swept):4} hidden temporary files of killed writers, removed by a later start")
        print(f"  {len(self.attention):4} jobs in NEEDS_ATTENTION, each since it had to be")
        for prompt, text in sorted(self.attention.items()):
            print(f"         {prompt}: {text}")
        print(end="", flush=True)
