"""`evergreen film export`: makes cuts of what is there, in other forms; spends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evergreen.cli.commands.assets import project_option
from evergreen.cli.commands.films.options import film_option, watch_option
from evergreen.cli.commands.films.runs import end
from evergreen.cli.session import global_options, session
from evergreen.cli.verbs import verb

if TYPE_CHECKING:
    from evergreen.v1.film_pb2 import ExportProfile


@verb(
    examples=(
        "evergreen film export --project film --film lamp --profile tall --captions burned --watch",
        "evergreen film export --project film --film lamp --profile poster=1080x1350 --missing still",
    )
)
@project_option
@film_option
@click.option(
    "--profile",
    "names",
    multiple=True,
    metavar="NAME[=WxH]",
    help="A form: wide, tall, square, with 1080 behind it, or your own with a size. Repeatable. Default: the plan's.",
)
@click.option("--captions", type=click.Choice(["files", "track", "burned"]), help="Where captions go beside the files.")
@click.option("--fit", type=click.Choice(["crop", "pad", "blur"]), help="How pictures of another shape fill the frame.")
@click.option("--fps", type=click.IntRange(1, 60), help="Frames per second. Default: 24.")
@click.option("--crf", type=click.IntRange(1, 51), help="Quality; more is smaller and worse. Default: 20.")
@click.option("--loudness", type=click.FloatRange(-40, -5), help="In LUFS. Default: -16.")
@click.option(
    "--missing",
    type=click.Choice(["fail", "still", "last-good", "skip"]),
    default="fail",
    help="What becomes of a shot whose output is not there or is stale. Default: fail.",
)
@click.option("--revision", type=click.IntRange(min=1), help="An older plan. Default: the newest.")
@click.option("--request-id", default="", metavar="ID", help="Repeating the command with the same id starts one run.")
@watch_option
@global_options()
@click.pass_context
def export(
    context: click.Context,
    project: str,
    film_id: str,
    names: tuple[str, ...],
    captions: str | None,
    fit: str | None,
    fps: int | None,
    crf: int | None,
    loudness: float | None,
    missing: str,
    revision: int | None,
    request_id: str,
    watched: bool,
) -> None:
    """Cut a film from what is there, in the forms that are named. Costs no credits."""
    from evergreen.v1.film_pb2 import Captions, ExportProfile, Fit, OnShotFailure

    form = ExportProfile(
        captions=Captions.Value(f"CAPTIONS_{captions.upper()}") if captions else Captions.CAPTIONS_UNSPECIFIED,
        fit=Fit.Value(f"FIT_{fit.upper()}") if fit else Fit.FIT_UNSPECIFIED,
        fps=fps or 0,
        crf=crf or 0,
        loudness_lufs=loudness or 0,
    )
    if form.ByteSize() and not names:
        raise click.UsageError("--captions, --fit, --fps, --crf and --loudness need --profile")
    profiles = [_profile(name, form) for name in names]
    ours = session(context)
    number = revision or ours.run(lambda client: client.films.get(project, film_id)).status.plan_revision
    begun = ours.run(
        lambda client: client.films.export(
            project,
            film_id,
            plan_revision=number,
            profiles=profiles,
            missing=OnShotFailure.Value(f"ON_SHOT_FAILURE_{missing.upper().replace('-', '_')}"),
            request_id=request_id,
        )
    )
    end(ours, begun, watched=watched)


def _profile(text: str, form: ExportProfile) -> ExportProfile:
    """Parses `NAME` or `NAME=WIDTHxHEIGHT`. Raises BadParameter."""
    from evergreen.v1.film_pb2 import ExportProfile

    name, sized, size = text.partition("=")
    profile = ExportProfile(name=name)
    profile.MergeFrom(form)
    if sized:
        try:
            profile.width, profile.height = map(int, size.split("x"))
        except ValueError:
            raise click.BadParameter(f"{text!r} is not NAME or NAME=WxH", param_hint="--profile") from None
    return profile
