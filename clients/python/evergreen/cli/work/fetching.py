"""Copies the files that a job has delivered from the service's storage to this machine."""

from pathlib import Path

import click

from evergreen.cli.output import write_json
from evergreen.cli.session import Session
from evergreen.cli.shown.transfers import shown
from evergreen.v1.video_pb2 import Job
from evergreen.wire import WireClient


def check_free(target: Path, option: str = "--out", *, force: bool = False) -> None:
    """Raises UsageError, before anything is spent, if files cannot be put there."""
    try:
        if target.is_dir():
            return
        if target.exists() and not force:
            raise click.UsageError(f"{target} exists; give another {option}, or a folder")
        if not target.parent.is_dir():
            raise click.UsageError(f"{target.parent} is no folder; {option} needs one that exists")
    except OSError as error:
        raise click.UsageError(f"{option}: {error.strerror}") from error


async def fetch(client: WireClient, ours: Session, job: Job, target: Path) -> list[Path]:
    """Copies the files of a job, prints where they are, and returns that."""
    places = files_of(job, target)
    for asset, file in places:
        with shown(asset, json=ours.json) as moved:
            fetched = await client.scenes.download(job.project_id, job.scene_id, asset, file, moved=moved)
        if ours.json:
            write_json(fetched)
        else:
            click.echo(str(file))
    return [file for _, file in places]


def files_of(job: Job, target: Path) -> list[tuple[str, Path]]:
    """Returns each asset and its place: in a folder under its own name, otherwise the target.

    If there are several for one path, the others get a number: `fox.png`, `fox-2.png`.
    """
    assets = [output.asset for output in job.outputs]
    if target.is_dir():
        return [(asset, target / asset.rpartition("/")[2]) for asset in assets]
    others = [target.with_stem(f"{target.stem}-{number}") for number in range(2, len(assets) + 1)]
    return list(zip(assets, [target, *others], strict=False))
