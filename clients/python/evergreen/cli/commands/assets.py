"""The commands of `evergreen scene` that transfer and delete files, and create URLs for them."""

import sys
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import click

from evergreen.cli.output import moment, write_json
from evergreen.cli.session import Session, global_options, say, session
from evergreen.cli.transfers import shown
from evergreen.v1.scene_pb2 import Asset
from evergreen.wire import WireClient

FOLDERS = ("images", "audio", "videos", "exports")
LOCAL = click.Path(dir_okay=False, path_type=Path)

_BY_SUFFIX = {
    **dict.fromkeys(("avif", "bmp", "gif", "heic", "jpeg", "jpg", "png", "tif", "tiff", "webp"), "images"),
    **dict.fromkeys(("aac", "aif", "aiff", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav"), "audio"),
    **dict.fromkeys(("avi", "m4v", "mkv", "mov", "mp4", "webm"), "videos"),
}

project_option = click.option("--project", required=True, metavar="ID", help="The project.")
scene_option = click.option("--scene", "scene_id", required=True, metavar="ID", help="The scene.")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False))
@project_option
@scene_option
@click.option(
    "--to",
    metavar="PATH",
    help="A folder of the scene, or the full path of one file. Default: chosen by the file name.",
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
    """Upload files and print their paths in the scene. Creates the scene if it does not exist."""
    ours = session(context)
    if to is not None and "/" in to.rstrip("/") and len(files) > 1:
        raise click.BadParameter("with several files it must be a folder", param_hint="--to")
    for file in files:
        path = place(file, to)

        async def work(client: WireClient, file: str = file, path: str = path) -> Asset:
            with shown(path, json=ours.json) as moved:
                return await client.scenes.upload(
                    project, scene_id, path, Path(file), content_type=content_type, overwrite=overwrite, moved=moved
                )

        _write(ours, ours.run(work))


@click.command()
@click.argument("path")
@click.argument("target", required=False, type=LOCAL, metavar="[FILE]")
@project_option
@scene_option
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@global_options()
@click.pass_context
def download(context: click.Context, path: str, target: Path | None, project: str, scene_id: str, force: bool) -> None:
    """Download the file at PATH in the scene to FILE. The default is its own name; - means stdout."""
    ours = session(context)
    if target == Path("-"):
        ours.run(lambda client: _copy(client, project, scene_id, path))
        return
    file = target or Path(path.rpartition("/")[2])
    if not file.name:
        raise click.BadParameter("it names no file", param_hint="PATH")
    if file.exists() and not force:
        raise click.UsageError(f"{file} exists; give another FILE, or --force")

    async def work(client: WireClient) -> Asset:
        with shown(path, json=ours.json) as moved:
            return await client.scenes.download(project, scene_id, path, file, moved=moved)

    asset = ours.run(work)
    if ours.json:
        write_json(asset)
    else:
        click.echo(str(file))


@click.command("rm-asset")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@project_option
@scene_option
@global_options()
@click.pass_context
def remove(context: click.Context, paths: tuple[str, ...], project: str, scene_id: str) -> None:
    """Delete files of a scene. This cannot be undone."""

    async def work(client: WireClient) -> None:
        for path in paths:
            await client.scenes.delete_asset(project, scene_id, path)
            say(f"{path} is deleted")

    session(context).run(work)


@click.command()
@click.argument("path")
@project_option
@scene_option
@click.option(
    "--lifetime",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="How long the URL is valid, up to 7 days. Default: 15 minutes.",
)
@global_options()
@click.pass_context
def url(context: click.Context, path: str, project: str, scene_id: str, lifetime: int | None) -> None:
    """Print a URL with which anyone can read a file until the URL expires."""
    ours = session(context)
    wanted = None if lifetime is None else timedelta(seconds=lifetime)
    answer = ours.run(lambda client: client.scenes.asset_url(project, scene_id, path, lifetime=wanted))
    if ours.json:
        write_json(answer)
        return
    click.echo(answer.url)
    say(f"expires {moment(answer.expire_time)}")


def place(file: str, to: str | None) -> str:
    """Returns the path in the scene for a file."""
    name = Path(file).name
    if to is None:
        return f"{_BY_SUFFIX.get(name.rpartition('.')[2].lower(), 'exports')}/{name}"
    return f"{to.rstrip('/')}/{name}" if to.endswith("/") or to in FOLDERS else to


async def _copy(client: WireClient, project: str, scene_id: str, path: str) -> None:
    async with aclosing(client.scenes.read(project, scene_id, path)) as chunks:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _write(ours: Session, asset: Asset) -> None:
    if ours.json:
        write_json(asset)
    else:
        click.echo(asset.path)
