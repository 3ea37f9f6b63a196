"""`evergreen account`, `whoami` and `health`: the account of the service, who the caller is to it, and its health."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

import click

from evergreen.cli.completing import projects
from evergreen.cli.exits import ExitCode
from evergreen.cli.output import Column, number, say, write_facts, write_json, write_table
from evergreen.cli.session import global_options, session
from evergreen.cli.verbs import verb

if TYPE_CHECKING:
    from evergreen.v1.video_pb2 import GetAccountResponse
    from evergreen.wire import WireClient


@verb(examples=("evergreen account", "evergreen account --project film"))
@click.option(
    "--project",
    default="",
    metavar="ID",
    shell_complete=projects,
    help="Show what this project alone has reserved and spent.",
)
@global_options()
@click.pass_context
def account(context: click.Context, project: str) -> None:
    """Show the balance and limits of the provider's account, and what this service has spent."""
    ours = session(context)
    told = ours.run(_account(project))
    if ours.json:
        write_json(told)
        return
    if project:
        _write_project(told)
        return
    write_facts(
        [
            ("balance", f"{number(told.credit_balance)} credits"),
            ("reserved here", f"{number(told.reserved_credits)} credits"),
            ("spent here", f"{number(told.spent_credits)} credits"),
            ("spent, confirmed", f"{number(told.spent_confirmed_credits)} credits"),
            ("spent, at most", f"{number(told.spent_upper_bound_credits)} credits"),
            (
                "monthly limit",
                f"{number(told.max_monthly_credits)} credits" if told.HasField("max_monthly_credits") else "",
            ),
            ("API version", told.api_version),
        ]
    )
    if told.usage:
        click.echo()
    write_table(
        ("MODEL", "CONCURRENT", Column(head="PER DAY", drop=1), "USED TODAY"),
        [
            (
                each.model,
                str(each.max_concurrent) if each.HasField("max_concurrent") else "unlimited",
                str(each.max_daily) if each.HasField("max_daily") else "unlimited",
                str(each.used_today),
            )
            for each in told.usage
        ],
    )


def _account(project: str) -> Callable[[WireClient], Coroutine[object, object, GetAccountResponse]]:
    async def ask(client: WireClient) -> GetAccountResponse:
        from evergreen.errors import PermissionDenied

        try:
            return await client.account(project)
        except PermissionDenied:
            say("what your projects have spent, and may spend, needs no such right: evergreen project list")
            raise

    return ask


def _write_project(told: GetAccountResponse) -> None:
    """Writes what is about one project: the account's limits and models are those of all."""
    limited, held = told.HasField("project_cap_credits"), told.reserved_credits + told.spent_credits
    write_facts(
        [
            ("reserved", f"{number(told.reserved_credits)} credits"),
            ("spent", f"{number(told.spent_credits)} credits"),
            (
                "of that at most",
                f"{number(told.spent_upper_bound_credits)} credits" if told.spent_upper_bound_credits else "",
            ),
            ("limit", f"{number(told.project_cap_credits)} credits" if limited else "(none)"),
            ("left", f"{number(max(0.0, told.project_cap_credits - held))} credits" if limited else ""),
            ("account's balance", f"{number(told.credit_balance)} credits"),
        ]
    )


@verb(examples=("evergreen whoami", "evergreen whoami --output json | jq .projects"))
@global_options()
@click.pass_context
def whoami(context: click.Context) -> None:
    """Show whom the service takes you for: your token's name, rights and projects."""
    ours = session(context)
    caller = ours.run(lambda client: client.caller())
    if ours.json:
        write_json(caller)
        return
    from evergreen.v1.video_pb2 import Right

    known = Right.values()
    rights = [Right.Name(right).removeprefix("RIGHT_").lower() for right in caller.rights if right in known]
    write_facts(
        [
            ("name", caller.name if caller.tokens_required else "(the service requires no token)"),
            ("rights", " ".join(rights)),
            ("projects", "(all)" if caller.all_projects else " ".join(caller.projects)),
            ("server", caller.version),
        ]
    )


@verb(examples=("evergreen health", "evergreen --endpoint 10.0.0.7:50051 health --timeout 2"))
@global_options()
@click.pass_context
def health(context: click.Context) -> None:
    """Check whether the service is serving: exit code 0 if it is, otherwise 1."""
    ours = session(context)
    healthy = ours.run(lambda client: client.healthy())
    status = "SERVING" if healthy else "NOT_SERVING"
    click.echo(f'{{"status": "{status}"}}' if ours.json else status)
    context.exit(ExitCode.OK if healthy else ExitCode.ERROR)
