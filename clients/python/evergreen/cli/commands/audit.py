"""`evergreen audit`: who did what."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from evergreen.cli.completing import projects
from evergreen.cli.names import AUDIT_ACTIONS
from evergreen.cli.output import Column, moment, write_json, write_table
from evergreen.cli.reading.moments import PAST_HELP, past
from evergreen.cli.session import global_options, session
from evergreen.cli.verbs import verb

if TYPE_CHECKING:
    from evergreen.v1.audit_pb2 import AuditAction, AuditEntry
    from evergreen.wire import WireClient


@verb(
    examples=(
        "evergreen audit --project film --since yesterday",
        "evergreen audit --action delete_scene --output json | jq -r .caller",
    )
)
@click.option(
    "--project",
    default="",
    metavar="ID",
    shell_complete=projects,
    help="Only what was done in this project. Default: in all.",
)
@click.option(
    "--action",
    "actions",
    multiple=True,
    type=click.Choice(AUDIT_ACTIONS, case_sensitive=False),
    help="Only this. Can be repeated.",
)
@click.option("--caller", default="", metavar="NAME", help="Only what the token with this name did.")
@click.option("--subject", default="", metavar="ID", help="Only what was done to this job, asset, film or webhook.")
@click.option("--since", type=past, metavar="TIME", help=f"Only what was done since then: {PAST_HELP}.")
@click.option("--until", type=past, metavar="TIME", help="Only what was done before this time.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number of entries.")
@global_options()
@click.pass_context
def audit(
    context: click.Context,
    project: str,
    actions: tuple[str, ...],
    caller: str,
    subject: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """List who did what, newest first. Needs the right admin."""
    from evergreen.v1.audit_pb2 import AuditAction

    ours = session(context)

    async def entries(client: WireClient) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        async for entry in client.audit.entries(
            project_id=project,
            actions=[AuditAction.Value(f"AUDIT_ACTION_{action.upper()}") for action in actions],
            caller=caller,
            subject=subject,
            since=since,
            until=until,
            page_size=min(limit, 1000),
        ):
            found.append(entry)
            if len(found) == limit:
                break
        return found

    found = ours.run(entries)
    if ours.json:
        for entry in found:
            write_json(entry)
        return
    write_table(
        (
            "TIME",
            "CALLER",
            "ACTION",
            Column(head="PROJECT", drop=1),
            Column(head="SUBJECT", drop=2),
            Column(head="ADDRESS", drop=3),
            Column(head="CALL", drop=5),
            Column(head="DETAILS", drop=4),
        ),
        [
            (
                moment(entry.time),
                entry.caller,
                _name(entry.action),
                entry.project_id,
                entry.subject or entry.scene_id,
                entry.address,
                entry.call_id,
                " ".join(f"{name}={value}" for name, value in sorted(entry.details.items())),
            )
            for entry in found
        ],
    )


def _name(action: AuditAction.ValueType) -> str:
    from evergreen.cli.work.messages import word
    from evergreen.v1.audit_pb2 import AuditAction

    return str(word(AuditAction.DESCRIPTOR, action))
