"""What commands about webhooks share: how a filter is said, and a webhook is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

from evergreen.cli.completing import projects
from evergreen.cli.output import moment, say, write_facts, write_json
from evergreen.cli.reading.arguments import pair

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor

    from evergreen.cli.session import Session
    from evergreen.v1.webhook_pb2 import Webhook
    from evergreen.webhooks.fields import FilterFields

Command = TypeVar("Command", bound=Callable[..., object])

webhook_argument = click.argument("webhook_id")
USUAL_TYPES = "every end, what needs attention, films that await approval"
EVERY_PROJECT = "all projects"


class Filtered(TypedDict):
    """The values of the options that say what a webhook hears of."""

    projects: tuple[str, ...]
    all_projects: bool
    types: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


def filter_options(command: Command) -> Command:
    """Adds the options that say what a webhook hears of."""
    for option in reversed(
        (
            click.option(
                "--project",
                "projects",
                multiple=True,
                metavar="ID",
                shell_complete=projects,
                help="Of this project. Can be repeated.",
            ),
            click.option("--all-projects", is_flag=True, help="Of all projects, those to come too."),
            click.option(
                "--type",
                "types",
                multiple=True,
                metavar="TYPE",
                help=f"Events such as video.succeeded, film.* or *. Can be repeated. Default: {USUAL_TYPES}.",
            ),
            click.option(
                "--label",
                "labels",
                multiple=True,
                type=pair,
                metavar="KEY=VALUE",
                help="Only jobs with this label, and no films. Can be repeated; then only those with all of them.",
            ),
        )
    ):
        command = option(command)
    return command


def fields_of(given: Filtered) -> FilterFields:
    """Returns what is said of a filter. Raises UsageError for what excludes each other."""
    if given["projects"] and given["all_projects"]:
        raise click.UsageError("give --project or --all-projects, not both")
    fields: FilterFields = {}
    if given["projects"]:
        fields["project_ids"] = given["projects"]
    if given["all_projects"]:
        fields["all_projects"] = True
    if given["types"]:
        fields["types"] = given["types"]
    if given["labels"]:
        fields["labels"] = dict(given["labels"])
    return fields


def state_of(webhook: Webhook) -> str:
    from evergreen.v1.webhook_pb2 import WebhookState

    return word_of(WebhookState.DESCRIPTOR, webhook.state)


def word_of(enum: EnumDescriptor, value: int) -> str:
    """Returns the word of a value, such as `switched off`; that of a newer service is its number."""
    from evergreen.cli.work.messages import word

    return str(word(enum, value)).replace("_", " ")


def projects_of(webhook: Webhook) -> str:
    return EVERY_PROJECT if webhook.filter.all_projects else ", ".join(webhook.filter.project_ids)


def types_of(webhook: Webhook) -> str:
    return ", ".join(webhook.filter.types) or "the usual"


def write_webhook(ours: Session, webhook: Webhook) -> None:
    """Writes all of a webhook."""
    if ours.json:
        write_json(webhook)
        return
    attempted, failing = webhook.HasField("last_attempt_time"), moment(webhook.failing_since_time)
    write_facts(
        [
            ("webhook", webhook.webhook_id),
            ("url", webhook.url),
            ("description", webhook.description),
            ("state", state_of(webhook)),
            ("because", webhook.switched_off_reason),
            ("failing", f"since {failing}" if failing else ""),
            ("answer", answer_of(webhook.last_status, webhook.last_error) if attempted else ""),
            ("attempt", moment(webhook.last_attempt_time)),
            ("pending", str(webhook.pending_deliveries)),
            ("projects", projects_of(webhook)),
            ("types", ", ".join(webhook.filter.types) or USUAL_TYPES),
            ("labels", ", ".join(f"{key}={value}" for key, value in sorted(webhook.filter.labels.items()))),
            ("secrets", str(webhook.secret_generation)),
            ("old secret", _until(webhook)),
            ("created", moment(webhook.create_time)),
            ("updated", moment(webhook.update_time)),
        ]
    )


def answer_of(status: int, error: str) -> str:
    """Returns what an attempt came to: a status, with what was wrong."""
    told = str(status) if status else "none"
    return f"{told}: {error}" if error else told


def write_secret(ours: Session, secret: str) -> None:
    """Writes a secret to stdout, with what to do about it."""
    write_facts([("secret", secret)])
    say("This secret is shown once: keep it where the receiver can read it, and nowhere else.")


def _until(webhook: Webhook) -> str:
    return f"good until {moment(webhook.old_secret_expire_time)}" if webhook.HasField("old_secret_expire_time") else ""
