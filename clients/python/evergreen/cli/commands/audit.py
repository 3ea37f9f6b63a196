"""`evergreen audit`: who did what."""

from datetime import datetime

import click

from evergreen.cli.arguments import moment as at
from evergreen.cli.output import moment, write_json, write_table
from evergreen.cli.session import global_options, session
from evergreen.v1.audit_pb2 import AuditAction, AuditEntry
from evergreen.wire import WireClient

_ACTIONS = {
    name.removeprefix("AUDIT_ACTION_").lower().replace("_", "-"): value for name, value in AuditAction.items() if value
}


@click.command()
@click.option("--project", default="", metavar="ID", help="Only what was done in this project. Default: in all.")
@click.option(
    "--action",
    "actions",
    multiple=True,
    type=click.Choice(list(_ACTIONS), case_sensitive=False),
    help="Only this. Can be repeated.",
)
@click.option("--caller", default="", metavar="NAME", help="Only what the token with this name did.")
@click.option("--subject", default="", metavar="ID", help="Only what was done to this job, asset, film or webhook.")
@click.option("--since", type=at, metavar="TIME", help="Only what was done at this time or later.")
@click.option("--until", type=at, metavar="TIME", help="Only what was done before this time.")
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
    ours = session(context)

    async def entries(client: WireClient) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        async for entry in client.audit.entries(
            project_id=project,
            actions=[_ACTIONS[action.lower()] for action in actions],
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
        ("TIME", "CALLER", "ACTION", "PROJECT", "SUBJECT", "ADDRESS", "CALL", "DETAILS"),
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
    known = action in AuditAction.values()
    return AuditAction.Name(action).removeprefix("AUDIT_ACTION_").lower().replace("_", "-") if known else f"{action}"
