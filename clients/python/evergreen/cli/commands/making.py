"""`evergreen image`, `speech` and `sound`: request a picture, speech or a sound, and optionally follow the job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import click

from evergreen.cli.completing import models
from evergreen.cli.files import files
from evergreen.cli.reading.arguments import SOURCE_HELP, Source, input_source, reference
from evergreen.cli.reading.texts import TEXT_HELP, text_of
from evergreen.cli.session import global_options
from evergreen.cli.submission import JobOptions, job_options, place_options
from evergreen.cli.verbs import verbs

if TYPE_CHECKING:
    from evergreen.specs import Spec, SpecFields

IMAGE_MODEL, RATIO = "gen4_image", "1280:720"
SPEECH_MODEL, VOICE = "eleven_v3", "Maya"
SOUND_MODEL = "eleven_text_to_sound_v2"


@verbs(examples=("evergreen image generate --project film --scene s1 --prompt 'A fox at dawn' --out fox.png",))
@global_options()
def image() -> None:
    """Generate pictures."""


@verbs(examples=("evergreen speech generate --project film --scene s1 --text 'Ten seconds to lift-off.' --watch",))
@global_options()
def speech() -> None:
    """Generate speech."""


@verbs(examples=("evergreen sound generate --project film --scene s1 --prompt 'A rocket starts' --out .",))
@global_options()
def sound() -> None:
    """Generate sounds."""


@image.command(
    "generate",
    examples=(
        "evergreen image generate --project film --scene s1 --prompt 'A fox at dawn' --out fox.png",
        "evergreen image generate --project film --scene s1 --prompt '@hero at dawn' --reference hero=hero.png --watch",
    ),
)
@place_options
@click.option(
    "--prompt", required=True, metavar="TEXT", help=f"What the picture should show; @NAME is a reference, {TEXT_HELP}."
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=reference,
    shell_complete=files,
    metavar="[NAME=]SOURCE",
    help=f"A picture to work from: {SOURCE_HELP}. Can be repeated.",
)
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help=f"One of `evergreen models --kind image`. Default: {IMAGE_MODEL}, with {RATIO}.",
)
@click.option("--ratio", default="", metavar="W:H", help="The size or aspect ratio, such as 1920:1080.")
@click.option("--count", type=click.IntRange(min=1), default=None, help="How many pictures; each is paid for.")
@job_options
@global_options()
@click.pass_context
def generate_image(
    context: click.Context,
    *,
    prompt: str,
    references: tuple[Source, ...],
    model: str | None,
    ratio: str,
    count: int | None,
    **given: Unpack[JobOptions],
) -> None:
    """Generate a picture from a prompt and other pictures.

    Prints the job's id, or with --watch the path of the picture in the service's storage.
    """
    from evergreen.v1.video_pb2 import ImageSpec

    # The default model needs a size. With --model, the user also chooses that.
    ratio = ratio or ("" if model else RATIO)
    text = text_of(prompt, "--prompt", tags=[each.tag for each in references if each.tag])
    spec = ImageSpec(prompt_text=text, ratio=ratio, output_count=count or 0)
    _submit(context, spec, model or IMAGE_MODEL, given, references, "references")


@speech.command(
    "generate",
    examples=(
        "evergreen speech generate --project film --scene s1 --text 'Ten seconds to lift-off.' --watch",
        "evergreen speech generate --project film --scene s1 --text @line.txt --voice Noah --out line.mp3",
    ),
)
@place_options
@click.option("--text", required=True, metavar="TEXT", help=f"What to say; {TEXT_HELP}.")
@click.option("--voice", default="", metavar="NAME", help="Whose voice: see `evergreen models --kind speech`.")
@click.option(
    "--voice-reference",
    type=input_source,
    shell_complete=files,
    metavar="SOURCE",
    help=f"A sound that shows the voice, for models that take one: {SOURCE_HELP}.",
)
@click.option("--language", default="", metavar="CODE", help="The language, such as en. Default: found in the text.")
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help=f"One of `evergreen models --kind speech`. Default: {SPEECH_MODEL}, with {VOICE}.",
)
@job_options
@global_options()
@click.pass_context
def generate_speech(
    context: click.Context,
    *,
    text: str,
    voice: str,
    voice_reference: Source | None,
    language: str,
    model: str | None,
    **given: Unpack[JobOptions],
) -> None:
    """Generate speech from a text.

    Prints the job's id, or with --watch the path of the sound in the service's storage.
    """
    from evergreen.v1.video_pb2 import SpeechSpec

    voice = voice or ("" if model or voice_reference else VOICE)
    spec = SpeechSpec(text=text_of(text, "--text"), voice=voice, language=language)
    sources = [voice_reference] if voice_reference else []
    _submit(context, spec, model or SPEECH_MODEL, given, sources, "voice_reference")


@sound.command(
    "generate",
    examples=("evergreen sound generate --project film --scene s1 --prompt 'A rocket starts' --seconds 4 --out .",),
)
@place_options
@click.option("--prompt", required=True, metavar="TEXT", help=f"What should be heard; {TEXT_HELP}.")
@click.option("--seconds", type=float, metavar="SECONDS", help="The length. Default: chosen by the model.")
@click.option("--loop", is_flag=True, help="Make the end fit the beginning.")
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=input_source,
    shell_complete=files,
    metavar="SOURCE",
    help=f"A sound to work from, for models that take one: {SOURCE_HELP}. Can be repeated.",
)
@click.option("--count", type=click.IntRange(min=1), default=None, help="How many variants; each is paid for.")
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=models,
    help=f"One of `evergreen models --kind sound`. Default: {SOUND_MODEL}.",
)
@job_options
@global_options()
@click.pass_context
def generate_sound(
    context: click.Context,
    *,
    prompt: str,
    seconds: float | None,
    loop: bool,
    references: tuple[Source, ...],
    count: int | None,
    model: str | None,
    **given: Unpack[JobOptions],
) -> None:
    """Generate a sound from a prompt.

    Prints the job's id, or with --watch the path of the sound in the service's storage.
    """
    from evergreen.v1.video_pb2 import SoundSpec

    text = text_of(prompt, "--prompt")
    spec = SoundSpec(prompt_text=text, duration_seconds=seconds, loop=loop, output_count=count or 0)
    _submit(context, spec, model or SOUND_MODEL, given, references, "references")


def _submit(
    context: click.Context, spec: Spec, model: str, given: JobOptions, sources: Sequence[Source], into: str
) -> None:
    from evergreen.cli.work.submitting import SpecRequest, add_job_fields, submit

    fields: SpecFields = {"project_id": given["project"], "scene_id": given["scene"], "model": model}
    request_id = add_job_fields(fields, given)
    submit(context, SpecRequest(spec, fields, sources, into), request_id, given)
