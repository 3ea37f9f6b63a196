"""`evergreen webhook`: who is told by signed HTTP requests of what happens to jobs and films."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Unpack

import click

from evergreen.cli.commands.webhooks.deliveries import deliveries, redeliver, test
from evergreen.cli.commands.webhooks.options import (
    Filtered,
    fields_of,
    filter_options,
    projects_of,
    state_of,
    types_of,
    webhook_argument,
    write_secret,
    write_webhook,
)
from evergreen.cli.completing import projects
from evergreen.cli.output import Column, moment, write_json, write_table
from evergreen.cli.session import global_options, say, session
from evergreen.cli.verbs import verbs

if TYPE_CHECKING:
    from evergreen.v1.webhook_pb2 import Webhook, WebhookState
    from evergreen.webhooks.fields import WebhookChanges, WebhookFields
    from evergreen.wire import WireClient

LONGEST_OVERLAP = 7 * 24 * 3600


@verbs(
    examples=(
        "evergreen webhook create https://studio.example/hooks --project film",
        "evergreen webhook test 01a22845-c679-785a-b17a-96bf863c6f4e",
        "evergreen webhook deliveries 01a22845-c679-785a-b17a-96bf863c6f4e --state given_up",
    )
)
@global_options()
def webhook() -> None:
    """Tell other backends by signed HTTP requests."""


for _command in (test, deliveries, redeliver):
    webhook.add_command(_command)


@webhook.command(
    examples=(
        "evergreen webhook create https://studio.example/hooks --project film",
        "evergreen webhook create https://studio.example/hooks --all-projects --type 'video.*' --label team=edit",
    )
)
@click.argument("url")
@filter_options
@click.option("--description", default="", metavar="TEXT", help="A text for people.")
@click.option("--request-id", default="", metavar="ID", help="Your id of this request; the same id, the same webhook.")
@global_options()
@click.pass_context
def create(context: click.Context, url: str, description: str, request_id: str, **given: Unpack[Filtered]) -> None:
    """Set up a webhook at URL, and print its secret, once."""
    ours = session(context)
    fields: WebhookFields = {"url": url, "description": description, "request_id": request_id, **fields_of(given)}
    if not given["projects"] and not given["all_projects"]:
        raise click.UsageError("Missing: --project, or --all-projects.")
    made = ours.run(lambda client: client.webhooks.create(**fields))
    if ours.json:
        write_json(made)
        return
    write_webhook(ours, made.webhook)
    write_secret(ours, made.secret)
    if made.known:
        say("It was set up before, by the same request id.")


@webhook.command("list", examples=("evergreen webhook list", "evergreen webhook list --project film --output json"))
@click.option("--project", default="", metavar="ID", shell_complete=projects, help="Only those that hear of it.")
@global_options()
@click.pass_context
def list_webhooks(context: click.Context, project: str) -> None:
    """List the webhooks that you may administer, oldest first."""
    ours = session(context)
    found = ours.run(lambda client: _list(client, project))
    if ours.json:
        for each in found:
            write_json(each)
        return
    if not found:
        say("no webhooks")
    write_table(
        (
            "WEBHOOK",
            "STATE",
            Column(head="FAILING SINCE", drop=1),
            Column(head="PENDING", drop=2),
            Column(head="PROJECTS", drop=4),
            Column(head="TYPES", drop=3),
            "URL",
        ),
        [
            (
                each.webhook_id,
                state_of(each),
                moment(each.failing_since_time),
                str(each.pending_deliveries),
                projects_of(each),
                types_of(each),
                each.url,
            )
            for each in found
        ],
    )


@webhook.command(examples=("evergreen webhook show 01a22845-c679-785a-b17a-96bf863c6f4e",))
@webhook_argument
@global_options()
@click.pass_context
def show(context: click.Context, webhook_id: str) -> None:
    """Show a webhook, without its secret."""
    ours = session(context)
    write_webhook(ours, ours.run(lambda client: client.webhooks.get(webhook_id)))


@webhook.command(
    examples=("evergreen webhook update 01a22845-c679-785a-b17a-96bf863c6f4e --type video.failed --type film.failed",)
)
@webhook_argument
@click.option("--url", metavar="URL", help="Where events are sent from now on.")
@filter_options
@click.option("--usual-types", is_flag=True, help="Of the usual types again.")
@click.option("--no-labels", is_flag=True, help="Whatever the labels.")
@click.option("--description", metavar="TEXT", help="A text for people.")
@global_options()
@click.pass_context
def update(
    context: click.Context,
    webhook_id: str,
    url: str | None,
    description: str | None,
    usual_types: bool,
    no_labels: bool,
    **given: Unpack[Filtered],
) -> None:
    """Change what is given of a webhook; what is not given stays."""
    if (usual_types and given["types"]) or (no_labels and given["labels"]):
        raise click.UsageError("give --type or --usual-types, and --label or --no-labels, not both")
    changes: WebhookChanges = {}
    changes.update(fields_of(given))  # type: ignore[typeddict-item]  # a filter's fields are among them
    if usual_types:
        changes["types"] = ()
    if no_labels:
        changes["labels"] = {}
    if url is not None:
        changes["url"] = url
    if description is not None:
        changes["description"] = description
    if not changes:
        raise click.UsageError("say what is to be changed, such as --url or --type")
    ours = session(context)
    write_webhook(ours, ours.run(lambda client: client.webhooks.update(webhook_id, **changes)))


@webhook.command(examples=("evergreen webhook pause 01a22845-c679-785a-b17a-96bf863c6f4e",))
@webhook_argument
@global_options()
@click.pass_context
def pause(context: click.Context, webhook_id: str) -> None:
    """Send a webhook nothing until it is resumed. What happens meanwhile is not told later."""
    from evergreen.v1.webhook_pb2 import WebhookState

    _turn(context, webhook_id, WebhookState.WEBHOOK_STATE_PAUSED)


@webhook.command(examples=("evergreen webhook resume 01a22845-c679-785a-b17a-96bf863c6f4e",))
@webhook_argument
@global_options()
@click.pass_context
def resume(context: click.Context, webhook_id: str) -> None:
    """Send a webhook what happens from now on: one that was paused, or that the service switched off."""
    from evergreen.v1.webhook_pb2 import WebhookState

    _turn(context, webhook_id, WebhookState.WEBHOOK_STATE_ACTIVE)


@webhook.command(examples=("evergreen webhook delete 01a22845-c679-785a-b17a-96bf863c6f4e --yes",))
@webhook_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@global_options()
@click.pass_context
def delete(context: click.Context, webhook_id: str, yes: bool) -> None:
    """Delete a webhook and its deliveries. This cannot be undone."""
    if not yes:
        # On stderr, like all messages; without a terminal, the answer is no.
        click.confirm(f"Delete the webhook {webhook_id}?", abort=True, err=True)
    session(context).run(lambda client: client.webhooks.delete(webhook_id))
    say(f"{webhook_id} is deleted")


@webhook.command(
    examples=(
        "evergreen webhook rotate 01a22845-c679-785a-b17a-96bf863c6f4e",
        "evergreen webhook rotate 01a22845-c679-785a-b17a-96bf863c6f4e --overlap 0",
    )
)
@webhook_argument
@click.option(
    "--overlap",
    type=click.IntRange(min=0, max=LONGEST_OVERLAP),
    metavar="SECONDS",
    help="How long the secret before signs too, up to 7 days. Default: a day.",
)
@global_options()
@click.pass_context
def rotate(context: click.Context, webhook_id: str, overlap: int | None) -> None:
    """Give a webhook a new secret, and print it, once."""
    ours = session(context)
    wanted = None if overlap is None else timedelta(seconds=overlap)
    made = ours.run(lambda client: client.webhooks.rotate_secret(webhook_id, overlap=wanted))
    if ours.json:
        write_json(made)
        return
    write_secret(ours, made.secret)
    if made.webhook.HasField("old_secret_expire_time"):
        say(f"Until {moment(made.webhook.old_secret_expire_time)}, requests are signed with the one before too.")
    else:
        say("The one before signs nothing more.")


async def _list(client: WireClient, project: str) -> list[Webhook]:
    return [each async for each in client.webhooks.list(project_id=project, page_size=1000)]


def _turn(context: click.Context, webhook_id: str, state: WebhookState.ValueType) -> None:
    ours = session(context)
    write_webhook(ours, ours.run(lambda client: client.webhooks.update(webhook_id, state=state)))
