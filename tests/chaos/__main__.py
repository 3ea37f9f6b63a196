"""`python -m tests.chaos --kills 500 --seed 1` kills real servers at random moments, and tells what that cost.

A fifth of the kills hits one server on SQLite, a fifth one on PostgreSQL, and the rest three that share PostgreSQL;
`--on` chooses one of these. The provider is a sandbox process, whose books the verdict is read from. The exit code is
1 if anything was lost, paid twice, torn or missed; then the servers' logs are kept.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.film_verdict import judge_films
from tests.chaos.films import Films
from tests.chaos.storm import JobsOpen, Storm
from tests.chaos.tally import Tally
from tests.chaos.verdict import judge
from tests.e2e.rig import Rig
from tests.postgres import any_postgres
from tests.serving import sandbox_process

PHASES = {"sqlite": (1, 0.2), "postgres-1": (1, 0.2), "postgres-3": (3, 0.6)}
"""How many servers there are, and their part of the kills."""


async def chaos(
    phase: str, folder: Path, *, kills: int, minutes: float, seed: int, database_url: str, films: int
) -> Tally:
    """Runs one phase and gives its verdict."""
    tally = Tally()
    async with sandbox_process() as sandbox:
        await sandbox.settings(task_mean_seconds=100.0)
        await sandbox.account(maxConcurrentGenerations=None, maxDailyGenerations=None, creditBalance=100_000_000)
        async with (
            Rig(folder, sandbox, database_url=database_url, replicas=PHASES[phase][0]) as rig,
            Films(rig, at_once=films, seed=seed, tally=tally) as cinema,
        ):
            storm = Storm(rig, cinema, seed=seed, tally=tally)
            try:
                await storm.run(kills, minutes=minutes)
            except* JobsOpen:
                # What has not ended by now is for the verdict.
                pass
            await judge(rig, storm.accepted, tally)
            await judge_films(rig, cinema, tally)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.chaos", description="Kills servers, and tells what that cost.")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=120, help="kill for no longer than this in each phase")
    parser.add_argument("--films", type=int, default=4, help="how many films are made at a time")
    parser.add_argument("--on", choices=PHASES, help="one phase only, with all the kills")
    arguments = parser.parse_args()
    sound = True
    for number, phase in enumerate([arguments.on] if arguments.on else PHASES):
        kills = arguments.kills if arguments.on else round(arguments.kills * PHASES[phase][1])
        folder, begun = Path(tempfile.mkdtemp(prefix=f"evergreen-chaos-{phase}-")), time.monotonic()
        with ExitStack() as stack:
            url = stack.enter_context(any_postgres()).create() if phase.startswith("postgres") else ""
            seed = arguments.seed + number
            tally = asyncio.run(
                chaos(
                    phase,
                    folder,
                    kills=kills,
                    minutes=arguments.minutes,
                    seed=seed,
                    database_url=url,
                    films=arguments.films,
                )
            )
        sound = tally.conclude(f"{phase}, seed {seed}, {time.monotonic() - begun:.0f} s", folder) and sound
    sys.exit(not sound)


if __name__ == "__main__":
    main()
