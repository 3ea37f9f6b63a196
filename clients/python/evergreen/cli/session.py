"""What all commands share: the global options, one client, and the translation of errors into exit codes."""

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import IO, TypeVar

import click

from evergreen.cli.exits import ExitCode
from evergreen.cli.output import Form, plain
from evergreen.errors import CallError, EvergreenError, Unauthenticated, Unavailable
from evergreen.security import Tls
from evergreen.wire import WireClient

DEFAULT_ENDPOINT = "127.0.0.1:50051"
_REPEATED = {"endpoint", "insecure", "tls", "tls_ca", "tls_client_cert", "tls_client_key", "token_file"}
"""The options to repeat in a suggested next command; never a token."""

T = TypeVar("T")
Command = TypeVar("Command", bound="Callable[..., object] | click.Command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The values of the global options. `given` are those set by an option, not by the environment."""

    endpoint: str = DEFAULT_ENDPOINT
    given: tuple[str, ...] = ()
    timeout: float = 30.0
    output: Form = Form.TABLE
    token: str | None = field(default=None, repr=False)
    insecure: bool = False
    tls: bool = False
    tls_ca: str | None = None
    tls_client_cert: str | None = None
    tls_client_key: str | None = None

    @property
    def json(self) -> bool:
        return self.output is Form.JSON

    def command(self, arguments: str) -> str:
        """Returns a command that the user can run next, for the same endpoint."""
        return " ".join(("evergreen", *self.given, arguments))

    def run(self, work: Callable[[WireClient], Awaitable[T]]) -> T:
        """Runs `work` with a client; on an error, ends the process with the matching exit code."""

        try:
            tls = self.trust()
        except (OSError, ValueError) as error:
            raise click.UsageError(f"TLS: {error}") from error

        async def connected() -> T:
            async with WireClient(
                self.endpoint, timeout=self.timeout, tls=tls, token=self.token, insecure=self.insecure
            ) as client:
                return await work(client)

        try:
            return asyncio.run(connected())
        except KeyboardInterrupt:
            raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
        except ValueError as error:
            # Inputs that are too large, and values that a message cannot hold: numbers out of range, broken text.
            raise click.UsageError(str(error)) from error
        except EvergreenError as error:
            raise Failure(error, endpoint=self.endpoint) from error
        except OSError as error:
            raise click.ClickException(plain(f"{error.filename or 'a file'}: {error.strerror or error}")) from error

    def trust(self) -> Tls | None:
        """Returns the settings of TLS, None to go without. Raises OSError, ValueError."""
        files = (self.tls_ca, self.tls_client_cert, self.tls_client_key)
        if not self.tls and not any(files):
            return None
        return Tls.from_files(root_certificates=files[0], certificate_chain=files[1], private_key=files[2])


class Failure(click.ClickException):
    """An error as shown to the user: each field error of the request on its own line."""

    exit_code = ExitCode.ERROR

    def __init__(self, error: EvergreenError, *, endpoint: str) -> None:
        lines = [plain(str(error))]
        if isinstance(error, CallError):
            if error.violations:
                lines = [f"the request cannot be accepted ({error.reason or error.code.name})"]
                lines += [f"  {plain(each.field)}: {plain(each.description)}" for each in error.violations]
            if isinstance(error, Unauthenticated):
                lines.append("Give a token that the service knows: EVERGREEN_TOKEN, or --token-file.")
            if isinstance(error, Unavailable) and not error.reason:
                lines.append(f"Is a server running at {endpoint}? `evergreen serve --sandbox` starts one.")
        super().__init__("\n".join(lines))

    def show(self, file: IO[str] | None = None) -> None:
        click.echo(f"Error: {self.message}", file=file or sys.stderr)


def say(text: str) -> None:
    """Writes a message for the user to stderr; stdout is only for data."""
    click.echo(plain(text), err=True)


def session(context: click.Context) -> Session:
    """Returns the session of a command, with the options of all its groups applied."""
    return context.find_object(Session) or Session()


def global_options(*, environment: bool = False) -> Callable[[Command], Command]:
    """Adds the global options to a group or a verb, so that they may stand before it or behind it.

    Only the root reads the environment: elsewhere that would override an option given before the verb.
    """

    def keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
        if value is None:
            return
        name = parameter.name or ""
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            if name in _REPEATED and value:
                words = f"--{name.replace('_', '-')}" + (f" {shlex.quote(value)}" if isinstance(value, str) else "")
                context.obj = replace(session(context), given=(*session(context).given, words))
        elif name in ("token", "token_file") and session(context).token is not None:
            # click reads the environment last: a token given as an option wins over one in the environment.
            return
        match name, value:
            case "endpoint", str():
                context.obj = replace(session(context), endpoint=value)
            case "timeout", float():
                context.obj = replace(session(context), timeout=value)
            case "output", str():
                context.obj = replace(session(context), output=Form(value))
            case "token_file", str():
                context.obj = replace(session(context), token=_first_line(value))
            case "token", str():
                context.obj = replace(session(context), token=value)
            case "insecure", bool() if value:
                context.obj = replace(session(context), insecure=True)
            case "tls", bool() if value:
                context.obj = replace(session(context), tls=True)
            case "tls_ca", str():
                context.obj = replace(session(context), tls_ca=value)
            case "tls_client_cert", str():
                context.obj = replace(session(context), tls_client_cert=value)
            case "tls_client_key", str():
                context.obj = replace(session(context), tls_client_key=value)

    def secured(flag: str, description: str, *, metavar: str = "FILE") -> Callable[[Command], Command]:
        # Only the root's help shows these; in every command's help they would hide the command's own options.
        return click.option(
            flag,
            metavar=metavar,
            envvar=f"EVERGREEN_{flag[2:].upper().replace('-', '_')}" if environment else None,
            show_envvar=environment,
            hidden=not environment,
            callback=keep,
            expose_value=False,
            help=description,
        )

    def decorate(command: Command) -> Command:
        for option in (
            secured("--tls-client-key", "The key of --tls-client-cert."),
            secured("--tls-client-cert", "Your certificate, for a service that requires one (PEM)."),
            secured("--tls-ca", "Authorities to trust instead of the usual ones (PEM); implies --tls."),
            click.option(
                "--tls",
                is_flag=True,
                default=None,
                envvar="EVERGREEN_TLS" if environment else None,
                show_envvar=environment,
                hidden=not environment,
                callback=keep,
                expose_value=False,
                help="Use TLS with the service.",
            ),
            click.option(
                "--insecure",
                is_flag=True,
                default=None,
                hidden=not environment,
                callback=keep,
                expose_value=False,
                help="Send the token without TLS, even to other machines.",
            ),
            secured("--token", "Your token; other users of this machine can see options.", metavar="TOKEN"),
            secured("--token-file", "A file with the token in its first line."),
            click.option(
                "--output",
                type=click.Choice([form.value for form in Form]),
                callback=keep,
                expose_value=False,
                help="Format of stdout: a table (default), or JSON with one object per line.",
            ),
            click.option(
                "--timeout",
                type=click.FloatRange(min=0, min_open=True),
                metavar="SECONDS",
                callback=keep,
                expose_value=False,
                help="How long a call may take, including retries. Default: 30.",
            ),
            click.option(
                "--endpoint",
                metavar="HOST:PORT",
                envvar="EVERGREEN_ENDPOINT" if environment else None,
                show_envvar=environment,
                callback=keep,
                expose_value=False,
                help=f"Address of the service. Default: {DEFAULT_ENDPOINT}.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from error
