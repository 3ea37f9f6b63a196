"""What all commands share: the global options, and the service that they, the environment or a context name."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evergreen.cli import contexts
from evergreen.cli.contexts import Context
from evergreen.cli.files import Completer, files, named_contexts
from evergreen.cli.output import Form, say

if TYPE_CHECKING:
    from evergreen.security import Tls
    from evergreen.wire import WireClient

__all__ = ["DEFAULT_ENDPOINT", "Session", "global_options", "say", "session"]

DEFAULT_ENDPOINT = "127.0.0.1:50051"
_REPEATED = ("context", "endpoint", "insecure", "tls", "tls_ca", "tls_client_cert", "tls_client_key", "token_file")
"""The options to repeat in a suggested next command; never a token."""

T = TypeVar("T")
Command = TypeVar("Command", bound="Callable[..., object] | click.Command")


@dataclass(frozen=True, slots=True)
class Given:
    """The values of the global options: those on the command line, and those of the environment."""

    options: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The service that a command calls, and how. `given` are those options that a next command must repeat."""

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
    project: str | None = None
    scene: str | None = None

    @property
    def json(self) -> bool:
        return self.output is Form.JSON

    def command(self, arguments: str) -> str:
        """Returns a command that the user can run next, for the same endpoint."""
        return " ".join(("evergreen", *self.given, arguments))

    def run(self, work: Callable[[WireClient], Awaitable[T]]) -> T:
        """Runs `work` with a client; on an error, ends the process with the matching exit code."""
        # Loaded here, since help and completion would otherwise wait for gRPC.
        from evergreen.cli.work.running import run

        return run(self, work)

    def trust(self) -> Tls | None:
        """Returns the settings of TLS, None to go without. Raises OSError, ValueError."""
        from evergreen.cli.work.running import trust

        return trust(self)


def session(context: click.Context) -> Session:
    """Returns the session of a command, with the options of all its groups applied. Raises UsageError."""
    given = context.find_object(Given) or Given()
    chosen, environment = _context(given), given.environment
    if given.options.get("context") or environment.get("context"):
        # Whoever names a context means all of it: a token of the environment is for another service.
        environment = {}
    values: dict[str, object] = {**chosen, **environment, **given.options}
    token, token_file = _token(chosen), None
    for layer in (environment, given.options):
        if layer.get("token") is not None:
            token, token_file = str(layer["token"]), None
        elif layer.get("token_file") is not None:
            token, token_file = None, str(layer["token_file"])
    if token_file is not None:
        token = _first_line(token_file)

    def text(name: str) -> str | None:
        value = values.get(name)
        return None if value is None else str(value)

    if given.options.get("endpoint") == "":
        # Such as from a variable that is not set: the usual address would be another service's.
        raise click.BadParameter("it is empty; it must be HOST:PORT", param_hint="--endpoint")
    timeout = values.get("timeout")
    return Session(
        endpoint=text("endpoint") or DEFAULT_ENDPOINT,
        given=_repeated(given.options),
        timeout=float(str(timeout)) if timeout is not None else 30.0,
        output=Form(text("output") or "table"),
        token=token,
        insecure=bool(values.get("insecure")),
        tls=bool(values.get("tls")),
        tls_ca=text("tls_ca"),
        tls_client_cert=text("tls_client_cert"),
        tls_client_key=text("tls_client_key"),
        project=chosen.get("project"),
        scene=chosen.get("scene"),
    )


def global_options(*, environment: bool = False) -> Callable[[Command], Command]:
    """Adds the global options to a group or a verb, so that they may stand before it or behind it.

    Only the root reads the environment: elsewhere that would override an option given before the verb.
    """

    def keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
        if value is None or parameter.name is None:
            return
        before = context.find_object(Given) or Given()
        if context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE:
            context.obj = Given({**before.options, parameter.name: value}, before.environment)
        else:
            context.obj = Given(before.options, {**before.environment, parameter.name: value})

    def option(
        flag: str,
        description: str,
        metavar: str = "FILE",
        *,
        variable: bool = True,
        complete: Completer | None = files,
        **attributes: Any,
    ) -> click.Option:
        return click.Option(
            [flag],
            metavar=metavar or None,
            shell_complete=complete,
            envvar=f"EVERGREEN_{flag[2:].upper().replace('-', '_')}" if environment and variable else None,
            show_envvar=environment and variable,
            hidden=not environment,
            callback=keep,
            expose_value=False,
            help=description,
            **attributes,
        )

    def switch(flag: str, description: str, *, variable: bool = True) -> click.Option:
        return option(flag, description, "", variable=variable, complete=None, is_flag=True, default=None)

    def options() -> list[click.Option]:
        return [
            option("--context", "A service that `evergreen context add` has named.", "NAME", complete=named_contexts),
            option("--endpoint", f"Address of the service. Default: {DEFAULT_ENDPOINT}.", "HOST:PORT", complete=None),
            option(
                "--timeout",
                "How long a call may take, including retries. Default: 30.",
                "SECONDS",
                variable=False,
                complete=None,
                type=click.FloatRange(min=0, min_open=True),
            ),
            option(
                "--output",
                "Format of stdout: a table (default), or JSON with one object per line.",
                "",
                variable=False,
                complete=None,
                type=click.Choice([form.value for form in Form]),
            ),
            option("--token-file", "A file with the token in its first line."),
            option("--token", "Your token; other users of this machine can see options.", "TOKEN", complete=None),
            switch("--insecure", "Send the token without TLS, even to other machines.", variable=False),
            switch("--tls", "Use TLS with the service."),
            option("--tls-ca", "Authorities to trust instead of the usual ones (PEM); implies --tls."),
            option("--tls-client-cert", "Your certificate, for a service that requires one (PEM)."),
            option("--tls-client-key", "The key of --tls-client-cert."),
        ]

    def decorate(command: Command) -> Command:
        if isinstance(command, click.Command):
            command.params.extend(options())
        else:
            # As click's own decorators keep them, for the command that is made of the function.
            kept: list[click.Parameter] = command.__dict__.setdefault("__click_params__", [])
            kept.extend(reversed(options()))
        return command

    return decorate


def _context(given: Given) -> Context:
    """Returns the context that is named, or the current one if nothing else says where the service is."""
    if name := given.options.get("context") or ("endpoint" not in given.options and given.environment.get("context")):
        return contexts.read().named(str(name))
    if "endpoint" in given.options or given.environment:
        return {}
    known = contexts.read()
    return known.known.get(known.current, {})


def _token(chosen: Context) -> str | None:
    return _first_line(chosen["token_file"]) if "token_file" in chosen else None


def _repeated(options: Mapping[str, object]) -> tuple[str, ...]:
    words = [(f"--{name.replace('_', '-')}", options[name]) for name in _REPEATED if options.get(name)]
    return tuple(flag + (f" {shlex.quote(value)}" if isinstance(value, str) else "") for flag, value in words)


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline(65536).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise click.BadParameter(f"cannot read {path}: {reason}", param_hint="--token-file") from error
