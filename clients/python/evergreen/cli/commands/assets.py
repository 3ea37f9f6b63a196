"""The commands of `evergreen scene` that transfer and delete files, and create URLs for them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evergreen.cli.completing import assets
from evergreen.cli.output import moment, plain, write_json
from evergreen.cli.reading.options import on_command_line
from evergreen.cli.reading.options import project_option as project
from evergreen.cli.reading.options import scene_option as scene
from evergreen.cli.reading.places import Place, place_of
from evergreen.cli.reading.sniffing import FOLDERS, fits, fitting, place
from evergreen.cli.session import Session, global_options, say, session
from evergreen.cli.verbs import verb

if TYPE_CHECKING:
    from evergreen.v1.scene_pb2 import Asset
    from evergreen.wire import WireClient

LOCAL = click.Path(dir_okay=False, path_type=Path)

project_option, scene_option = project(), scene()
_project, _scene = project(required=False), scene(required=False)


@verb(
    examples=(
        "evergreen scene upload --project film --scene s1 hero.png line.wav",
        "evergreen scene upload --project film --scene s1 'My Hero.jpg' --to images/hero.jpg",
        "ffmpeg … | evergreen scene upload --project film --scene s1 - --to videos/cut.mp4",
    )
)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@project_option
@scene_option
@click.option(
    "--to",
    metavar="PATH",
    help=f"A folder of the scene ({', '.join(FOLDERS)}), or the full path of one file. Default: chosen by the file's "
    "name, or its bytes.",
)
@click.option("--content-type", default="", metavar="TYPE", help="The media type, for a file that does not show it.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file, unless a job made it.")
@global_options()
@click.pass_context
def upload(
    context: click.Context,
    files: tuple[str, ...],
    project: str,
    scene_id: str,
    to: str | None,
    content_type: str,
    overwrite: bool,
) -> None:
    """Upload files (- is stdin) and print their paths in the scene. Creates the scene if it does not exist."""
    from evergreen.cli.shown.transfers import shown

    ours = session(context)
    paths = _places(files, to)
    for file, path in zip(files, paths, strict=True):

        async def work(client: WireClient, file: str = file, path: str = path) -> Asset:
            source = _stdin() if file == "-" else Path(file)
            with shown(path, json=ours.json) as moved:
                return await client.scenes.upload(
                    project, scene_id, path, source, content_type=content_type, overwrite=overwrite, moved=moved
                )

        _write(ours, ours.run(work))


@verb(
    examples=(
        "evergreen scene download projects/film/s1/videos/x.mp4",
        "evergreen scene download --project film --scene s1 metadata/scene.json - | jq .",
    )
)
@click.argument("path", shell_complete=assets)
@click.argument("target", required=False, type=LOCAL, metavar="[FILE]")
@_project
@_scene
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@global_options()
@click.pass_context
def download(
    context: click.Context,
    path: str,
    target: Path | None,
    project: str | None,
    scene_id: str | None,
    force: bool,
) -> None:
    """Download the file at PATH to FILE; - means stdout. The default is its own name, in this folder."""
    from evergreen.cli.shown.transfers import shown

    ours, found = session(context), _place(context, path, project, scene_id)
    if target == Path("-"):
        ours.run(lambda client: _copy(client, found))
        return
    name = found.path.rpartition("/")[2]
    file = target or Path(name)
    if not file.name:
        raise click.BadParameter("it names no file", param_hint="PATH")
    if file.exists() and not force:
        raise click.UsageError(f"{file} exists; give another FILE, or --force")

    async def work(client: WireClient) -> Asset:
        with shown(name, json=ours.json) as moved:
            return await client.scenes.download(
                found.project_id, found.scene_id, found.path, file, overwrite=force, moved=moved
            )

    asset = ours.run(work)
    if ours.json:
        write_json(asset)
    else:
        click.echo(str(file))


@verb("rm-asset", examples=("evergreen scene rm-asset --project film --scene s1 images/hero.png",))
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=assets)
@_project
@_scene
@global_options()
@click.pass_context
def remove(context: click.Context, paths: tuple[str, ...], project: str | None, scene_id: str | None) -> None:
    """Delete files of a scene. This cannot be undone."""
    places = [(path, _place(context, path, project, scene_id)) for path in paths]

    async def work(client: WireClient) -> None:
        for path, found in places:
            await client.scenes.delete_asset(found.project_id, found.scene_id, found.path)
            say(f"{path} is deleted")

    session(context).run(work)


@verb(examples=("evergreen scene url projects/film/s1/videos/x.mp4 --lifetime 3600",))
@click.argument("path", shell_complete=assets)
@_project
@_scene
@click.option(
    "--lifetime",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="How long the URL is valid, up to 7 days. Default: 15 minutes.",
)
@global_options()
@click.pass_context
def url(context: click.Context, path: str, project: str | None, scene_id: str | None, lifetime: int | None) -> None:
    """Print a URL with which anyone can read a file until the URL expires."""
    ours, found = session(context), _place(context, path, project, scene_id)
    wanted = None if lifetime is None else timedelta(seconds=lifetime)
    answer = ours.run(
        lambda client: client.scenes.asset_url(found.project_id, found.scene_id, found.path, lifetime=wanted)
    )
    if ours.json:
        write_json(answer)
        return
    click.echo(answer.url)
    say(f"expires {moment(answer.expire_time)}")


def _place(context: click.Context, path: str, project: str | None, scene_id: str | None) -> Place:
    return place_of(path, project, scene_id, given=on_command_line(context, "project", "scene_id"))


def _places(files: tuple[str, ...], to: str | None) -> list[str]:
    """Returns the paths in the scene, before anything is sent. Raises UsageError, with a path that would do."""
    if to is not None and "/" in to.rstrip("/") and len(files) > 1:
        raise click.BadParameter("with several files it must be a folder", param_hint="--to")
    if "-" in files and (to is None or "/" not in to.strip("/")):
        raise click.UsageError("stdin has no name: say where it goes, such as --to videos/cut.mp4")
    paths = [place(file, to) for file in files]
    for file, path in zip(files, paths, strict=True):
        folder, _, name = path.rpartition("/")
        if not fits(name):
            better = f"{folder}/{fitting(name)}"
            raise click.UsageError(
                f"{plain(name)!r} cannot be the name of a file in a scene, which has 1 to 128 of A-Z a-z 0-9 . _ - "
                f"and begins with a letter or digit: give {plain(file)!r} alone, with --to {better}"
            )
        if folder != "exports" and Path(file).is_file() and not Path(file).stat().st_size:
            raise click.UsageError(f"{plain(file)!r} is empty, and so is no file for {folder}")
    return paths


async def _stdin() -> AsyncIterator[bytes]:
    while block := sys.stdin.buffer.read(1 << 20):
        yield block


async def _copy(client: WireClient, found: Place) -> None:
    async with aclosing(client.scenes.read(found.project_id, found.scene_id, found.path)) as chunks:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _write(ours: Session, asset: Asset) -> None:
    if ours.json:
        write_json(asset)
    else:
        click.echo(asset.path)
