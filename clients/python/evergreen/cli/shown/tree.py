"""Draws a scene as a coloured tree, for a terminal."""

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text
from rich.tree import Tree

from evergreen.cli.output import moment, number, plain
from evergreen.v1.scene_pb2 import Asset, Scene

_COLOURS = {"images": "green", "audio": "yellow", "videos": "magenta", "metadata": "blue", "exports": "cyan"}


def draw(scene: Scene) -> None:
    """Writes the scene, its folders and its files to stdout."""
    made = "  ".join(f"{done} of {requested} {name}" for name, done, requested in counts(scene))
    facts = f"{scene.status}  {made}  {moment(scene.update_time)}"
    title = Text.assemble((plain(f"{scene.project_id}/{scene.scene_id}"), "bold"), "  ", (plain(facts), "dim"))
    tree = Tree(title, guide_style="dim")
    for folder in scene.folders:
        colour = _COLOURS.get(folder.name, "white")
        branch = tree.add(Text(plain(f"{folder.name}/"), style=f"bold {colour}" if folder.assets else "dim"))
        for asset in folder.assets:
            name = plain(asset.path.partition("/")[2])
            branch.add(Text.assemble((name, colour), "  ", (plain(_facts(asset)), "dim")))
    Console(highlight=False).print(tree, soft_wrap=True)


def counts(scene: Scene) -> list[tuple[str, int, int]]:
    """Returns what was delivered and what requested: of videos, and of others if there are any."""
    others = [
        ("pictures", scene.completed_images, scene.image_requests),
        ("sounds", scene.completed_audio, scene.audio_requests),
    ]
    return [("videos", scene.completed_videos, scene.video_requests), *(each for each in others if each[2])]


def _facts(asset: Asset) -> str:
    told = [asset.content_type, decimal(asset.size_bytes)]
    if asset.HasField("width") and asset.HasField("height"):
        told.append(f"{asset.width}x{asset.height}")
    if asset.HasField("duration_seconds"):
        told.append(f"{number(asset.duration_seconds)} s")
    return "  ".join(told)
