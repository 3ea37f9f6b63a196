"""`evergreen scene`: the commands for scenes; those for their files are in `assets`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from evergreen.cli.commands.assets import download, project_option, remove, scene_option, upload, url
from evergreen.cli.output import Column, moment, number, when, write_facts, write_json, write_table
from evergreen.cli.session import Session, global_options, say, session
from evergreen.cli.verbs import verbs

if TYPE_CHECKING:
    from evergreen.v1.scene_pb2 import Scene
    from evergreen.wire import WireClient

_MEASURES = (Column(head="SIZE", drop=1), Column(head="SECONDS", drop=1))

FORCE_SECONDS = 90.0
"""The minimum timeout of a deletion that waits for the jobs that it cancels."""


@verbs(examples=("evergreen scene show --project film --scene s1", "evergreen scene list --project film"))
@global_options()
def scene() -> None:
    """Manage scenes and their files."""


for _command in (upload, download, remove, url):
    scene.add_command(_command)


@scene.command(examples=("evergreen scene create --project film --scene s1",))
@project_option
@scene_option
@global_options()
@click.pass_context
def create(context: click.Context, project: str, scene_id: str) -> None:
    """Create a scene, and its project if it does not exist."""
    ours = session(context)
    _write_scene(ours, ours.run(lambda client: client.scenes.create(project, scene_id)))


@scene.command(examples=("evergreen scene show --project film --scene s1",))
@project_option
@scene_option
@global_options()
@click.pass_context
def show(context: click.Context, project: str, scene_id: str) -> None:
    """Show a scene with all its files: a tree on a terminal, otherwise one file per line."""
    ours = session(context)
    shown = ours.run(lambda client: client.scenes.show(project, scene_id))
    if sys.stdout.isatty() and not ours.json:
        from evergreen.cli.shown.tree import draw

        draw(shown)
    else:
        _write_scene(ours, shown)


@scene.command(examples=("evergreen scene delete --project film --scene s1 --force --yes",))
@project_option
@scene_option
@click.option("--force", is_flag=True, help="Cancel its jobs first and wait for them.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@global_options()
@click.pass_context
def delete(context: click.Context, project: str, scene_id: str, force: bool, yes: bool) -> None:
    """Delete a scene with all its files. This cannot be undone."""
    if not yes:
        # On stderr, like all messages; without a terminal, the answer is no.
        click.confirm(f"Delete {project}/{scene_id} with all its files?", abort=True, err=True)
    ours = session(context)
    if force:
        ours = replace(ours, timeout=max(ours.timeout, FORCE_SECONDS))
    left = ours.run(lambda client: client.scenes.delete(project, scene_id, force=force))
    say(f"{project}/{scene_id} is deleted")
    for path in left:
        say(f"the storage did not allow {path!r} to be removed, which others put there")


@scene.command("list", examples=("evergreen scene list --project film",))
@project_option
@global_options()
@click.pass_context
def list_scenes(context: click.Context, project: str) -> None:
    """List a project's scenes."""
    ours = session(context)
    scenes = ours.run(lambda client: _list(client, project))
    if ours.json:
        for each in scenes:
            write_json(each)
        return
    if not scenes:
        say(f"no scenes in project {project}")
    write_table(
        ("SCENE", Column(head="STATUS", drop=2), "REQUESTED", "DELIVERED", Column(head="UPDATED", drop=1)),
        [
            (
                each.scene_id,
                each.status,
                str(each.video_requests + each.image_requests + each.audio_requests),
                str(each.completed_videos + each.completed_images + each.completed_audio),
                when(each.update_time),
            )
            for each in scenes
        ],
    )


async def _list(client: WireClient, project: str) -> list[Scene]:
    return [each async for each in client.scenes.list(project)]


def _write_scene(ours: Session, shown: Scene) -> None:
    if ours.json:
        write_json(shown)
        return
    from evergreen.cli.shown.tree import counts

    write_facts(
        [
            ("scene", f"{shown.project_id}/{shown.scene_id}"),
            ("status", shown.status),
            *((name, f"{done} delivered, {requested} requested") for name, done, requested in counts(shown)),
            ("created", moment(shown.create_time)),
            ("updated", moment(shown.update_time)),
        ]
    )
    assets = [asset for folder in shown.folders for asset in folder.assets]
    if assets:
        click.echo()
    write_table(
        (
            "FILE",
            Column(head="TYPE", drop=4),
            Column(head="BYTES", drop=3),
            *_MEASURES,
        ),
        [
            (
                asset.path,
                asset.content_type,
                f"{asset.size_bytes:,}",
                f"{asset.width}x{asset.height}" if asset.HasField("width") else "",
                number(asset.duration_seconds) if asset.HasField("duration_seconds") else "",
            )
            for asset in assets
        ],
    )
