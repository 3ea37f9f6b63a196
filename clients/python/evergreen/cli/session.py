"""What every verb shares: the global options, one client, and errors turned into exit codes."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import IO, TypeVar

import click

from evergreen.cli.exits import ExitCode
from evergreen.cli.output import Form, plain
from evergreen.client import Client
from evergreen.errors import CallError, EvergreenError, Unavailable

DEFAULT_ENDPOINT = "127.0.0.1:50051"

T = TypeVar("T")
Command = TypeVar("Command", bound="Callable[..., object] | click.Command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The values of the global options. `endpoint_given`: by an option rather than by the environment."""

    endpoint: str = DEFAULT_ENDPOINT
    endpoint_given: bool = False
    timeout: float = 30.0
    output: Form = Form.TABLE

    @property
    def json(self) -> bool:
        return self.output is Form.JSON

    def command(self, arguments: str) -> str:
        """Writes a command that the user may run next, reaching the same endpoint."""
        return f"evergreen {f'--endpoint {self.endpoint} ' if self.endpoint_given else ''}{arguments}"

    def run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Runs `work` with a client; ends the process with the exit code that fits what went wrong."""

        async def connected() -> T:
            async with Client(self.endpoint, timeout=self.timeout) as client:
                return await work(client)

        try:
            return asyncio.run(connected())
        except KeyboardInterrupt:
            raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
        except ValueError as error:
            # Inputs that are too large, and what a message cannot hold: numbers out of range, broken text.
            raise click.UsageError(str(error)) from error
        except EvergreenError as error:
            raise Failure(error, endpoint=self.endpoint) from error


class Failure(click.ClickException):
    """An error as told to a human: every fault of the request on a line of its own."""

    exit_code = ExitCode.ERROR

    def __init__(self, error: EvergreenError, *, endpoint: str) -> None:
        lines = [plain(str(error))]
        if isinstance(error, CallError):
            if error.violations:
                lines = [f"the request cannot be accepted ({error.reason or error.code.name})"]
                lines += [f"  {plain(each.field)}: {plain(each.description)}" for each in error.violations]
            if isinstance(error, Unavailable) and not error.reason:
                lines.append(f"Is a server running at {endpoint}? `evergreen serve --sandbox` starts one.")
        super().__init__("\n".join(lines))

    def show(self, file: IO[str] | None = None) -> None:
        click.echo(f"Error: {self.message}", file=file or sys.stderr)


def say(text: str) -> None:
    """Talks to the human, who reads stderr; stdout is for data alone."""
    click.echo(plain(text), err=True)


def session(context: click.Context) -> Session:
    """Gives the session of a command, with the options of all its groups applied."""
    return context.find_object(Session) or Session()


def global_options(*, environment: bool = False) -> Callable[[Command], Command]:
    """Adds the global options to a group or a verb, so that they may stand before it or behind it.

    Only the root reads the environment: elsewhere that would override an option given before the verb.
    """

    def keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
        if value is None:
            return
        given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        match parameter.name, value:
            case "endpoint", str():
                context.obj = replace(session(context), endpoint=value, endpoint_given=given)
            case "timeout", float():
                context.obj = replace(session(context), timeout=value)
            case "output", str():
                context.obj = replace(session(context), output=Form(value))

    def decorate(command: Command) -> Command:
        for option in (
            click.option(
                "--output",
                type=click.Choice([form.value for form in Form]),
                callback=keep,
                expose_value=False,
                help="What stdout is: a table (default), or JSON with one object per line.",
            ),
            click.option(
                "--timeout",
                type=click.FloatRange(min=0, min_open=True),
                metavar="SECONDS",
                callback=keep,
                expose_value=False,
                help="How long a call may take, retries included. Default: 30.",
            ),
            click.option(
                "--endpoint",
                metavar="HOST:PORT",
                envvar="EVERGREEN_ENDPOINT" if environment else None,
                show_envvar=environment,
                callback=keep,
                expose_value=False,
                help=f"Where the service listens. Default: {DEFAULT_ENDPOINT}.",
            ),
        ):
            command = option(command)
        return command

    return decorate
