"""`evergreen image`, `speech` and `sound`: request a picture, speech or a sound, and optionally follow the job."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Unpack

import click

from evergreen.cli.arguments import SOURCE_HELP, input_source, reference
from evergreen.cli.session import global_options
from evergreen.cli.submission import JobOptions, add_job_fields, job_options, place_options, submit
from evergreen.specs import Spec, SpecFields
from evergreen.v1.video_pb2 import ImageSpec, Job, Media, SoundSpec, SpeechSpec
from evergreen.wire import WireClient

IMAGE_MODEL, RATIO = "gen4_image", "1280:720"
SPEECH_MODEL, VOICE = "eleven_v3", "Maya"
SOUND_MODEL = "eleven_text_to_sound_v2"


@dataclass(frozen=True, slots=True)
class SpecRequest:
    """The request for what a spec says."""

    spec: Spec
    fields: SpecFields

    def quote(self, client: WireClient) -> Awaitable[float | None]:
        return client.quote_spec(self.spec, **self.fields)

    def generate(self, client: WireClient) -> Awaitable[Job]:
        return client.generate_spec(self.spec, **self.fields)


@click.group()
@global_options()
def image() -> None:
    """Generate pictures."""


@click.group()
@global_options()
def speech() -> None:
    """Generate speech."""


@click.group()
@global_options()
def sound() -> None:
    """Generate sounds."""


@image.command("generate")
@place_options
@click.option("--prompt", required=True, metavar="TEXT", help="What the picture should show; @NAME is a reference.")
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=reference,
    metavar="[NAME=]SOURCE",
    help=f"A picture to work from: {SOURCE_HELP}. Can be repeated. At most 3 MiB for all files together.",
)
@click.option("--model", help=f"One of `evergreen models --kind image`. Default: {IMAGE_MODEL}, with {RATIO}.")
@click.option("--ratio", default="", metavar="W:H", help="The size or aspect ratio, such as 1920:1080.")
@click.option("--count", type=click.IntRange(min=1), default=None, help="How many pictures; each is paid for.")
@job_options
@global_options()
@click.pass_context
def generate_image(
    context: click.Context,
    *,
    prompt: str,
    references: tuple[Media, ...],
    model: str | None,
    ratio: str,
    count: int | None,
    **given: Unpack[JobOptions],
) -> None:
    """Generate a picture from a prompt and other pictures.

    Prints the job's id, or with --watch the path of the picture in the service's storage.
    """
    # The default model needs a size. With --model, the user also chooses that.
    ratio = ratio or ("" if model else RATIO)
    spec = ImageSpec(prompt_text=prompt, ratio=ratio, output_count=count or 0, references=references)
    _submit(context, spec, model or IMAGE_MODEL, given)


@speech.command("generate")
@place_options
@click.option("--text", required=True, metavar="TEXT", help="What to say.")
@click.option("--voice", default="", metavar="NAME", help="Whose voice: see `evergreen models --kind speech`.")
@click.option(
    "--voice-reference",
    type=input_source,
    metavar="SOURCE",
    help=f"A sound that shows the voice, for models that take one: {SOURCE_HELP}.",
)
@click.option("--language", default="", metavar="CODE", help="The language, such as en. Default: found in the text.")
@click.option("--model", help=f"One of `evergreen models --kind speech`. Default: {SPEECH_MODEL}, with {VOICE}.")
@job_options
@global_options()
@click.pass_context
def generate_speech(
    context: click.Context,
    *,
    text: str,
    voice: str,
    voice_reference: Media | None,
    language: str,
    model: str | None,
    **given: Unpack[JobOptions],
) -> None:
    """Generate speech from a text.

    Prints the job's id, or with --watch the path of the sound in the service's storage.
    """
    voice = voice or ("" if model or voice_reference else VOICE)
    spec = SpeechSpec(text=text, voice=voice, voice_reference=voice_reference, language=language)
    _submit(context, spec, model or SPEECH_MODEL, given)


@sound.command("generate")
@place_options
@click.option("--prompt", required=True, metavar="TEXT", help="What should be heard.")
@click.option("--seconds", type=float, metavar="SECONDS", help="The length. Default: chosen by the model.")
@click.option("--loop", is_flag=True, help="Make the end fit the beginning.")
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=input_source,
    metavar="SOURCE",
    help=f"A sound to work from, for models that take one: {SOURCE_HELP}. Can be repeated.",
)
@click.option("--count", type=click.IntRange(min=1), default=None, help="How many variants; each is paid for.")
@click.option("--model", help=f"One of `evergreen models --kind sound`. Default: {SOUND_MODEL}.")
@job_options
@global_options()
@click.pass_context
def generate_sound(
    context: click.Context,
    *,
    prompt: str,
    seconds: float | None,
    loop: bool,
    references: tuple[Media, ...],
    count: int | None,
    model: str | None,
    **given: Unpack[JobOptions],
) -> None:
    """Generate a sound from a prompt.

    Prints the job's id, or with --watch the path of the sound in the service's storage.
    """
    spec = SoundSpec(
        prompt_text=prompt, duration_seconds=seconds, loop=loop, references=references, output_count=count or 0
    )
    _submit(context, spec, model or SOUND_MODEL, given)


def _submit(context: click.Context, spec: Spec, model: str, given: JobOptions) -> None:
    fields: SpecFields = {"project_id": given["project"], "scene_id": given["scene"], "model": model}
    submit(context, SpecRequest(spec, fields), add_job_fields(fields, given), given)
