"""`evergreen video generate`: requests a clip, and optionally follows its job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import click

from evergreen.cli.completing import models
from evergreen.cli.files import files
from evergreen.cli.reading.arguments import SOURCE_HELP, Source, role_and_source, source_as, uri_as
from evergreen.cli.reading.texts import TEXT_HELP, text_of
from evergreen.cli.session import global_options
from evergreen.cli.submission import JobOptions, job_options, place_options
from evergreen.cli.verbs import verb

if TYPE_CHECKING:
    from evergreen.requests import VideoFields

MODEL, RATIO, SECONDS = "gen4_turbo", "1280:720", 5


@verb(
    examples=(
        "evergreen video generate --project film --scene s1 --image a.jpg --prompt 'The rocket climbs' --watch",
        "evergreen video generate --project film --scene s1 --image asset:images/hero.png --out clip.mp4",
        "evergreen video generate --project film --scene s1 --prompt @prompt.txt --model gen4.5 --ratio 1280:720 \\",
        "    --duration 5 --finish-by 10m --max-credits 60 --label take=3",
    )
)
@place_options
@click.option("--prompt", default="", metavar="TEXT", help=f"What the clip should show; {TEXT_HELP}.")
@click.option(
    "--image",
    type=source_as("first_frame"),
    metavar="SOURCE",
    shell_complete=files,
    help=f"The first frame: {SOURCE_HELP}. Files that are too large for a request are uploaded to the scene.",
)
@click.option("--image-uri", type=uri_as("first_frame"), metavar="URL", help="The first frame, from a URL.")
@click.option(
    "--last-image",
    type=source_as("last_frame"),
    metavar="SOURCE",
    shell_complete=files,
    help=f"The last frame: {SOURCE_HELP}.",
)
@click.option(
    "--video",
    type=source_as("source_video"),
    metavar="SOURCE",
    shell_complete=files,
    help=f"The video to change: {SOURCE_HELP}.",
)
@click.option(
    "--media",
    "others",
    multiple=True,
    type=role_and_source,
    metavar="ROLE=SOURCE",
    help="Another input, such as reference=style.png or keyframe@2.5=moon.png. Can be repeated.",
)
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help=f"One of `evergreen models`. Default: {MODEL}, with {RATIO} and {SECONDS} seconds.",
)
@click.option("--ratio", default="", metavar="W:H", help="The size or aspect ratio, such as 1280:720.")
@click.option("--resolution", default="", help="The resolution, such as 720p, for models that have it.")
@click.option("--duration", type=int, metavar="SECONDS", help="The clip's duration.")
@job_options
@global_options()
@click.pass_context
def generate(
    context: click.Context,
    *,
    prompt: str,
    image: Source | None,
    image_uri: Source | None,
    last_image: Source | None,
    video: Source | None,
    others: tuple[Source, ...],
    model: str | None,
    ratio: str,
    resolution: str,
    duration: int | None,
    **given: Unpack[JobOptions],
) -> None:
    """Generate a clip from a prompt, a picture or a video.

    Prints the job's id, or with --watch the path of the clip in the service's storage.
    """
    from evergreen.cli.work.submitting import ClipRequest, add_job_fields, submit

    if image and image_uri:
        raise click.UsageError("--image and --image-uri are two ways to give the same picture; choose one")
    if model is None:
        # Defaults for the shortest command. With --model, the user also chooses size and duration.
        model, ratio = MODEL, ratio or RATIO
        duration = SECONDS if duration is None else duration
    fields: VideoFields = {
        "project_id": given["project"],
        "scene_id": given["scene"],
        "model": model,
        "prompt_text": text_of(prompt, "--prompt"),
        "ratio": ratio,
        "resolution": resolution,
    }
    if duration is not None:
        fields["duration_seconds"] = duration
    sources = [each for each in (image, image_uri, last_image, video, *others) if each]
    request_id = add_job_fields(fields, given)
    submit(context, ClipRequest(fields, sources), request_id, given)
