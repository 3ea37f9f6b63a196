"""`evergreen context`: names services, so that no command need repeat where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click

from evergreen.cli import contexts
from evergreen.cli.contexts import FILES, FLAGS, Context
from evergreen.cli.files import files, named_contexts
from evergreen.cli.output import say, write_table
from evergreen.cli.session import global_options, session
from evergreen.cli.verbs import verbs

Command = TypeVar("Command", bound=Callable[..., object])


@verbs(
    examples=(
        "evergreen context add prod --endpoint evergreen.example.com:443 --tls --token-file ~/.evergreen-token",
        "evergreen --context prod job list",
        "evergreen context use prod",
    )
)
@global_options()
def context() -> None:
    """Name services, to choose one by a word: --context NAME, EVERGREEN_CONTEXT, or `use` for all commands.

    A context stands for all of where the service is, and who you are to it: with one, EVERGREEN_ENDPOINT,
    EVERGREEN_TOKEN and the like do not count. The one of `use` counts where none of these is set. Contexts are in a
    file of your own, which holds paths of tokens and keys, and never these themselves.
    """


def _path(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    # Commands are run in other folders than this one.
    return None if value is None else str(Path(value).expanduser().absolute())


def _file(flag: str, help: str) -> Callable[[Command], Command]:
    return click.option(flag, metavar="FILE", callback=_path, shell_complete=files, help=help)


@context.command(
    examples=(
        "evergreen context add prod --endpoint evergreen.example.com:443 --tls --token-file ~/.evergreen-token",
        "evergreen context add local --endpoint 127.0.0.1:50051 --project film --replace",
    )
)
@click.argument("name")
@click.option("--endpoint", required=True, metavar="HOST:PORT", help="Address of the service.")
@_file("--token-file", "A file with the token in its first line.")
@click.option("--tls", is_flag=True, help="Use TLS with the service.")
@_file("--tls-ca", "Authorities to trust instead of the usual ones (PEM); implies --tls.")
@_file("--tls-client-cert", "Your certificate, for a service that requires one (PEM).")
@_file("--tls-client-key", "The key of --tls-client-cert.")
@click.option("--insecure", is_flag=True, help="Send the token without TLS, even to other machines.")
@click.option("--project", metavar="ID", help="The project of commands that name none.")
@click.option("--scene", metavar="ID", help="The scene of commands that name none.")
@click.option("--replace", "replaced", is_flag=True, help="Replace a context of that name.")
def add(name: str, replaced: bool, **given: str | bool | None) -> None:
    """Add a context. The first one is used at once."""
    from evergreen.security import check_target

    known = contexts.read()
    if not name.isprintable() or not name.strip() or name.startswith("-"):
        raise click.BadParameter("it must be a word", param_hint="NAME")
    if name in known.known and not replaced:
        raise click.UsageError(f"there is a context {name!r}; --replace replaces it")
    try:
        check_target(str(given["endpoint"]))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--endpoint") from error
    for option in FILES:
        if (file := given.get(option)) and not Path(str(file)).is_file():
            raise click.BadParameter(f"{file} is no file", param_hint=f"--{option.replace('_', '-')}")
    made: Context = {key: value for key, value in given.items() if value}  # type: ignore[assignment]  # its keys are those
    _write(contexts.Contexts({**known.known, name: made}, known.current or name))
    say(f"context {name} is added" + ("" if known.current else ", and used from now on"))


@context.command("list", examples=("evergreen context list",))
@global_options()
@click.pass_context
def list_contexts(clicked: click.Context) -> None:
    """List your contexts; * is the one in use."""
    known = contexts.read()
    if session(clicked).json:
        for name, each in sorted(known.known.items()):
            click.echo(json.dumps({"name": name, "current": name == known.current, **each}, ensure_ascii=False))
        return
    if not known.known:
        say("no contexts; `evergreen context add NAME --endpoint HOST:PORT` adds one")
    rows = []
    for name, each in sorted(known.known.items()):
        flags = [flag for flag in FLAGS if each.get(flag)]
        rows.append(
            (
                "*" if name == known.current else " ",
                name,
                each.get("endpoint", ""),
                " ".join(flags) or ("tls" if each.get("tls_ca") else ""),
                each.get("token_file", ""),
                each.get("project", ""),
            )
        )
    write_table(("", "NAME", "ENDPOINT", "SECURITY", "TOKEN FILE", "PROJECT"), rows)


_name = click.argument("name", shell_complete=named_contexts)


@context.command(examples=("evergreen context use prod", "evergreen context use --none"))
@click.argument("name", required=False, shell_complete=named_contexts)
@click.option("--none", "nothing", is_flag=True, help="Use none from now on.")
def use(name: str | None, nothing: bool) -> None:
    """Have all commands use a context, where neither options nor the environment say another service."""
    if (name is None) != nothing:
        raise click.UsageError("name a context, or give --none")
    known = contexts.read()
    if name is not None:
        known.named(name)
    _write(replace(known, current=name or ""))


@context.command(examples=("evergreen context remove prod",))
@_name
def remove(name: str) -> None:
    """Remove a context. The files that it names stay."""
    known = contexts.read()
    known.named(name)
    left = {each: value for each, value in known.known.items() if each != name}
    _write(contexts.Contexts(left, "" if known.current == name else known.current))


def _write(known: contexts.Contexts) -> None:
    try:
        contexts.write(known)
    except OSError as error:
        raise click.ClickException(f"{contexts.path()} cannot be written: {error.strerror}") from error
