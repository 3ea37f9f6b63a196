"""`evergreen models`, `account` and `health`: what the service offers, its account and its health."""

from collections.abc import Sequence

import click

from evergreen.cli.exits import ExitCode
from evergreen.cli.output import number, write_facts, write_json, write_table
from evergreen.cli.session import global_options, session
from evergreen.v1.video_pb2 import Model, Operation


@click.command()
@global_options()
@click.pass_context
def models(context: click.Context) -> None:
    """List the models, with their bounds and prices."""
    ours = session(context)
    listed = ours.run(lambda client: client.models())
    if ours.json:
        for each in listed:
            write_json(each)
        return
    write_table(
        ("MODEL", "MAKES A VIDEO FROM", "RATIOS", "SECONDS", "CREDITS PER SECOND"),
        [
            (
                each.model,
                " ".join(_operation(value) for value in each.operations),
                _some([*each.ratios, *each.resolutions]),
                _runs(each.durations_seconds),
                _prices(each),
            )
            for each in listed
        ],
    )


@click.command()
@click.option("--project", default="", metavar="ID", help="Show what this project alone has reserved and spent.")
@global_options()
@click.pass_context
def account(context: click.Context, project: str) -> None:
    """Show the balance and limits of the provider's account, and what this service has spent."""
    ours = session(context)
    told = ours.run(lambda client: client.account(project))
    if ours.json:
        write_json(told)
        return
    write_facts(
        [
            ("balance", f"{number(told.credit_balance)} credits"),
            ("reserved here", f"{number(told.reserved_credits)} credits"),
            ("spent here", f"{number(told.spent_credits)} credits"),
            ("spent, confirmed", f"{number(told.spent_confirmed_credits)} credits"),
            ("spent, at most", f"{number(told.spent_upper_bound_credits)} credits"),
            (
                "project's limit",
                f"{number(told.project_cap_credits)} credits" if told.HasField("project_cap_credits") else "",
            ),
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
        ("MODEL", "CONCURRENT", "PER DAY", "USED TODAY"),
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


@click.command()
@global_options()
@click.pass_context
def health(context: click.Context) -> None:
    """Check whether the service is serving: exit code 0 if it is, otherwise 1."""
    ours = session(context)
    healthy = ours.run(lambda client: client.healthy())
    status = "SERVING" if healthy else "NOT_SERVING"
    click.echo(f'{{"status": "{status}"}}' if ours.json else status)
    context.exit(ExitCode.OK if healthy else ExitCode.ERROR)


def _operation(value: Operation.ValueType) -> str:
    name = Operation.Name(value) if value in Operation.values() else str(value)
    return name.removeprefix("OPERATION_").removesuffix("_TO_VIDEO").lower()


def _prices(model: Model) -> str:
    if not model.prices:
        return "unknown"
    return ", ".join(f"{number(price.credits_per_second)} {price.condition}".strip() for price in model.prices)


def _some(values: Sequence[str], most: int = 6) -> str:
    """Returns the first few values; JSON output has all of them."""
    rest = len(values) - most
    return " ".join([*values[:most], *([f"(+{rest})"] if rest > 0 else [])])


def _runs(numbers: Sequence[int]) -> str:
    """Returns ascending numbers with neighbours joined: `2-10` for all from two to ten."""
    runs: list[tuple[int, int]] = []
    for each in numbers:
        if runs and each == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], each)
        else:
            runs.append((each, each))
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
