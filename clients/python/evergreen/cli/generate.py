"""`evergreen video generate`: requests a clip, and optionally follows its job."""

import asyncio
from datetime import datetime
from uuid import uuid4

import click

from evergreen.cli.arguments import SOURCE_HELP, json_pair, moment, pair, role_and_source, source_as, uri_as
from evergreen.cli.follow import Follower, tell_needs_attention
from evergreen.cli.output import number, write_json
from evergreen.cli.session import Session, global_options, say, session
from evergreen.client import Client
from evergreen.errors import DeadlineExceeded, QueueFull, Unavailable
from evergreen.requests import Json, VideoFields
from evergreen.v1.video_pb2 import GenerateVideoResponse, JobState, Media, MediaRole, OnUnknownSubmission

_ON_UNKNOWN = {
    "ask": OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_ASK,
    "resubmit": OnUnknownSubmission.ON_UNKNOWN_SUBMISSION_RESUBMIT,
}


MODEL, RATIO, SECONDS = "gen4_turbo", "1280:720", 5


@click.command()
@click.option("--project", required=True, metavar="ID", help="The project; created if it does not exist.")
@click.option("--scene", required=True, metavar="ID", help="The scene; created if it does not exist.")
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
@click.option("--seed", type=int, help="Makes a result more or less repeatable.")
@click.option(
    "--option",
    "options",
    multiple=True,
    type=json_pair,
    metavar="KEY=JSON",
    help="An option of this model only. Can be repeated.",
)
@click.option("--request-id", metavar="ID", help="Your id of this request; the same id returns the same job.")
@click.option("--priority", type=int, default=0, help="A higher value goes first among the project's jobs.")
@click.option("--max-credits", type=float, metavar="CREDITS", help="Reject the request if one attempt may cost more.")
@click.option(
    "--max-attempts",
    type=int,
    default=0,
    help="Maximum number of attempts; a new one only after a failure that cost nothing.",
)
@click.option(
    "--on-unknown", type=click.Choice(list(_ON_UNKNOWN)), help="What to do if the answer to a submission is lost."
)
@click.option("--start-by", type=moment, metavar="TIME", help="Expire the job if it is not submitted by this time.")
@click.option(
    "--finish-by", type=moment, metavar="TIME", help="Cancel and expire the job if it is not finished by this time."
)
@click.option(
    "--label", "labels", multiple=True, type=pair, metavar="KEY=VALUE", help="Your own label. Can be repeated."
)
@click.option("--validate-only", is_flag=True, help="Validate and price the request without creating a job.")
@click.option("--watch/--no-watch", default=False, help="Follow the job to its end.")
@global_options()
@click.pass_context
def generate(
    context: click.Context,
    *,
    project: str,
    scene: str,
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
    seed: int | None,
    options: tuple[tuple[str, Json], ...],
    request_id: str | None,
    priority: int,
    max_credits: float | None,
    max_attempts: int,
    on_unknown: str | None,
    start_by: datetime | None,
    finish_by: datetime | None,
    labels: tuple[tuple[str, str], ...],
    validate_only: bool,
    watch: bool,
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
        "project_id": project,
        "scene_id": scene,
        "model": model,
        "request_id": uuid4().hex if request_id is None else request_id,
        "prompt_text": prompt,
        "media": [each for each in (image, image_uri, last_image, video, *others) if each],
        "ratio": ratio,
        "resolution": resolution,
        "options": dict(options),
        "priority": priority,
        "max_attempts": max_attempts,
        "labels": dict(labels),
    }
    if duration is not None:
        fields["duration_seconds"] = duration
    if seed is not None:
        fields["seed"] = seed
    if max_credits is not None:
        fields["max_credits"] = max_credits
    if on_unknown is not None:
        fields["on_unknown_submission"] = _ON_UNKNOWN[on_unknown]
    if start_by is not None:
        fields["start_by"] = start_by
    if finish_by is not None:
        fields["finish_by"] = finish_by
    ours = session(context)
    if validate_only:
        ours.run(lambda client: _quote(client, ours, fields))
    else:
        context.exit(ours.run(lambda client: _generate(client, ours, fields, watch)))


async def _quote(client: Client, ours: Session, fields: VideoFields) -> None:
    quote = await client.quote(**fields)
    if ours.json:
        write_json(GenerateVideoResponse(estimated_credits=quote))
    else:
        say("The request is valid. The most that one attempt may cost, in credits:")
        click.echo("unknown" if quote is None else number(quote))


async def _generate(client: Client, ours: Session, fields: VideoFields, watch: bool) -> int:
    try:
        job = await client.generate(**fields)
    except (asyncio.CancelledError, Unavailable, DeadlineExceeded, QueueFull):
        say(f"The request may have been accepted; to repeat it safely, use --request-id {fields['request_id']}")
        raise
    if watch:
        return await Follower(session=ours, job_ids=[job.job_id]).follow(client)
    if ours.json:
        write_json(job)
    else:
        click.echo(job.job_id)
        say(f"To follow it: {ours.command(f'video watch {job.job_id}')}")
    if job.state == JobState.JOB_STATE_NEEDS_ATTENTION:
        tell_needs_attention(ours, job)
    return 0
