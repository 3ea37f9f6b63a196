"""Writes data to stdout: aligned columns for users, one JSON object per line for programs."""

from collections.abc import Sequence
from enum import StrEnum

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1.video_pb2 import Job, JobStage, JobState, MediaKind

KINDS = {name.removeprefix("MEDIA_KIND_").lower(): value for name, value in MediaKind.items() if value}
"""What jobs make, by the names of the command line."""


class Form(StrEnum):
    """The format of stdout."""

    TABLE = "table"
    JSON = "json"


def write_json(message: Message) -> None:
    """Writes a message in protobuf's JSON mapping, with the field names of the contract."""
    text = MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)
    click.echo(text)


def write_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes rows in columns as wide as needed, whatever the terminal's width, so that each row stays one line."""
    if not rows:
        return
    cells = [tuple(heads), *(tuple(plain(cell) or "-" for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Writes name-value pairs, one per line; omits empty values."""
    told = [(name, plain(value)) for name, value in facts if value]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        click.echo(f"{name.ljust(width)}  {value}")


def plain(text: str) -> str:
    """Replaces control characters, which a terminal would execute."""
    return "".join(letter if letter == "\n" or letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def moment(timestamp: Timestamp) -> str:
    """Returns a time in UTC, to the second; empty if there is none."""
    return timestamp.ToDatetime().strftime("%Y-%m-%dT%H:%M:%SZ") if timestamp.ByteSize() else ""


def number(value: float) -> str:
    """Returns credits or seconds without trailing zeros."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def state_name(job: Job) -> str:
    return JobState.Name(job.state).removeprefix("JOB_STATE_") if job.state in JobState.values() else str(job.state)


def stage_name(job: Job) -> str:
    """Returns the name of the stage; empty if there is none."""
    if not job.stage:
        return ""
    return JobStage.Name(job.stage).removeprefix("JOB_STAGE_") if job.stage in JobStage.values() else str(job.stage)


def kind_name(job: Job) -> str:
    """Returns what a job makes; a service from before there were kinds makes videos."""
    names = {value: name for name, value in KINDS.items()}
    return names.get(job.kind, str(job.kind)) if job.kind else "video"


def model_of(job: Job) -> str:
    return job.request.model or job.generate_request.model


def credits_of(job: Job) -> str:
    """Returns what a job has cost, or the most that it may cost."""
    if job.HasField("charged_credits"):
        return number(job.charged_credits)
    return f"≤ {number(job.estimated_credits)}" if job.HasField("estimated_credits") else ""


def paths(job: Job) -> list[str]:
    """Returns the paths of the job's files, from the root of the service's storage."""
    return [f"projects/{job.project_id}/{job.scene_id}/{output.asset}" for output in job.outputs]
