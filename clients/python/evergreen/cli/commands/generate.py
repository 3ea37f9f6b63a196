"""`evergreen video generate`: requests a clip, and optionally follows its job."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Unpack

import click

from evergreen.cli.arguments import SOURCE_HELP, role_and_source, source_as, uri_as
from evergreen.cli.session import global_options
from evergreen.cli.submission import JobOptions, add_job_fields, job_options, place_options, submit
from evergreen.requests import VideoFields
from evergreen.v1.video_pb2 import Job, Media, MediaRole
from evergreen.wire import WireClient

MODEL, RATIO, SECONDS = "gen4_turbo", "1280:720", 5


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """The request for a clip."""

    fields: VideoFields

    def quote(self, client: WireClient) -> Awaitable[float | None]:
        return client.quote(**self.fields)

    def generate(self, client: WireClient) -> Awaitable[Job]:
        return client.generate(**self.fields)


@click.command()
@place_options
@click.option("--prompt", default="", metavar="TEXT", help="What the clip should show.")
@click.option(
    "--image",
    type=source_as(MediaRole.MEDIA_ROLE_FIRST_FRAME),
    metavar="SOURCE",
    help=f"The first frame: {SOURCE_HELP}. At most 3 MiB for all files together.",
)
@click.option(
    "--image-uri",
    type=uri_as(MediaRole.MEDIA_ROLE_FIRST_FRAME),
    metavar="URL",
    help="The first frame, from a URL.",
)
@click.option(
    "--last-image",
    type=source_as(MediaRole.MEDIA_ROLE_LAST_FRAME),
    metavar="SOURCE",
    help=f"The last frame: {SOURCE_HELP}.",
)
@click.option(
    "--video",
    type=source_as(MediaRole.MEDIA_ROLE_SOURCE_VIDEO),
    metavar="SOURCE",
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
@click.option("--model", help=f"One of `evergreen models`. Default: {MODEL}, with {RATIO} and {SECONDS} seconds.")
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
    image: Media | None,
    image_uri: Media | None,
    last_image: Media | None,
    video: Media | None,
    others: tuple[Media, ...],
    model: str | None,
    ratio: str,
    resolution: str,
    duration: int | None,
    **given: Unpack[JobOptions],
) -> None:
    """Generate a clip from a prompt, a picture or a video.

    Prints the job's id, or with --watch the path of the clip in the service's storage.
    """
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
        "prompt_text": prompt,
        "media": [each for each in (image, image_uri, last_image, video, *others) if each],
        "ratio": ratio,
        "resolution": resolution,
    }
    if duration is not None:
        fields["duration_seconds"] = duration
    submit(context, ClipRequest(fields), add_job_fields(fields, given), given)
