"""What was sent to a webhook: `evergreen webhook test`, `deliveries` and `redeliver`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from evergreen.cli.commands.webhooks.options import answer_of, webhook_argument, word_of
from evergreen.cli.exits import ExitCode
from evergreen.cli.names import DELIVERY_STATES
from evergreen.cli.output import Column, moment, number, write_facts, write_json, write_table
from evergreen.cli.reading.moments import PAST_HELP, past
from evergreen.cli.session import global_options, say, session
from evergreen.cli.verbs import verb

if TYPE_CHECKING:
    from evergreen.v1.webhook_pb2 import Delivery
    from evergreen.wire import WireClient


@verb(examples=("evergreen webhook test 01a22845-c679-785a-b17a-96bf863c6f4e",))
@webhook_argument
@global_options()
@click.pass_context
def test(context: click.Context, webhook_id: str) -> None:
    """Send an event evergreen.ping now, and show what came back. Ends with 1 unless that was a 2xx."""
    ours = session(context)
    told = ours.run(lambda client: client.webhooks.test(webhook_id))
    if ours.json:
        write_json(told)
    else:
        write_facts(
            [
                ("answer", answer_of(told.status, told.error)),
                ("took", f"{number(told.milliseconds)} ms"),
                ("message", told.message_id),
                ("body", told.answer.strip()),
            ]
        )
    context.exit(ExitCode.OK if told.succeeded else ExitCode.ERROR)


@verb(
    examples=(
        "evergreen webhook deliveries 01a22845-c679-785a-b17a-96bf863c6f4e --since 2h",
        "evergreen webhook deliveries 01a22845-c679-785a-b17a-96bf863c6f4e --state given_up --output json",
    )
)
@webhook_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(DELIVERY_STATES, case_sensitive=False),
    help="Only those in this state. Can be repeated.",
)
@click.option("--since", type=past, metavar="TIME", help=f"Only of events since then: {PAST_HELP}.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number.")
@global_options()
@click.pass_context
def deliveries(
    context: click.Context, webhook_id: str, states: tuple[str, ...], since: datetime | None, limit: int
) -> None:
    """List what was sent to a webhook in the last 7 days, newest first, with the last answer."""
    from evergreen.v1.webhook_pb2 import DeliveryState

    ours = session(context)
    wanted = [DeliveryState.Value(f"DELIVERY_STATE_{state.upper()}") for state in states]

    async def work(client: WireClient) -> list[Delivery]:
        found: list[Delivery] = []
        async for each in client.webhooks.deliveries(
            webhook_id, states=wanted, since=since, page_size=min(limit, 1000)
        ):
            found.append(each)
            if len(found) == limit:
                break
        return found

    found = ours.run(work)
    if ours.json:
        for each in found:
            write_json(each)
        return
    if not found:
        say("no deliveries")
    write_table(
        (
            "MESSAGE",
            Column(head="TIME", drop=2),
            "TYPE",
            Column(head="ABOUT", drop=3),
            "STATE",
            Column(head="ATTEMPTS", drop=1),
            Column(head="NEXT", drop=4),
            Column(head="ANSWER", drop=5),
        ),
        [
            (
                each.message_id,
                moment(each.create_time),
                each.type,
                each.job_id or each.film_id,
                word_of(DeliveryState.DESCRIPTOR, each.state),
                str(each.attempts),
                moment(each.next_attempt_time),
                answer_of(each.last_status, each.last_error) if each.attempts else "",
            )
            for each in found
        ],
    )


@verb(
    examples=(
        "evergreen webhook redeliver 01a22845-c679-785a-b17a-96bf863c6f4e 01a22846-0c7b-7ad4-92f3-dfd47563ba58",
        "evergreen webhook redeliver 01a22845-c679-785a-b17a-96bf863c6f4e --given-up-since yesterday",
    )
)
@webhook_argument
@click.argument("message_id", required=False, default="")
@click.option(
    "--given-up-since", type=past, metavar="TIME", help=f"All that were given up, of events since then: {PAST_HELP}."
)
@global_options()
@click.pass_context
def redeliver(context: click.Context, webhook_id: str, message_id: str, given_up_since: datetime | None) -> None:
    """Send a delivery once more, whatever came of it, or all that were given up."""
    if bool(message_id) is (given_up_since is not None):
        raise click.UsageError("name a MESSAGE_ID, or --given-up-since TIME")
    ours = session(context)
    sent = ours.run(lambda client: client.webhooks.redeliver(webhook_id, message_id, given_up_since=given_up_since))
    if ours.json:
        from evergreen.v1.webhook_pb2 import RedeliverResponse

        write_json(RedeliverResponse(deliveries=sent))
    else:
        say(f"{sent:,} {'delivery' if sent == 1 else 'deliveries'} on the way once more")
