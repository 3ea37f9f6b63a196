"""The root of the command line: the client's commands, and those that installed packages add.

A package adds commands through entry points of the group `evergreen.commands`, each of which names a click command.
The server adds `serve`, `sandbox` and `token` in this way, and the client never imports the server.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from typing import Any

import click

from evergreen.cli import failures
from evergreen.cli.exits import EXIT_CODES_HELP, ExitCode
from evergreen.cli.installed import load, plugins, version
from evergreen.cli.session import global_options
from evergreen.cli.verbs import Verbs

COMMANDS = {
    "account": ("service:account", "Show the provider's balance, and what is spent."),
    "audit": ("audit:audit", "List who did what."),
    "completion": ("completion:completion", "Print the completion script for a shell."),
    "context": ("context:context", "Name services, to choose one by a word."),
    "film": ("films.film:film", "Plan and make films from scripts."),
    "health": ("service:health", "Check whether the service is serving."),
    "image": ("making:image", "Generate pictures."),
    "job": ("jobs:job", "Follow, list, download, cancel and retry jobs."),
    "models": ("models:models", "List the models, their bounds and prices."),
    "project": ("project:project", "List projects, with their jobs and credits."),
    "scene": ("scene:scene", "Manage scenes and their files."),
    "sound": ("making:sound", "Generate sounds."),
    "speech": ("making:speech", "Generate speech."),
    "video": ("video:video", "Generate clips, and follow jobs."),
    "webhook": ("webhooks.webhook:webhook", "Tell other backends by signed HTTP requests."),
    "whoami": ("service:whoami", "Show whom the service takes you for."),
}
"""Each command's place among the modules of `commands`, and what help says of it; none is loaded before it is used."""


class ClosedPipe(Exception):
    """Nobody reads stdout any more."""


class Root(Verbs):
    """A group that also offers the commands of entry points; each is loaded only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *super().list_commands(ctx), *plugins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            found: click.Command = getattr(import_module(f"evergreen.cli.commands.{module}"), name)
            return found
        place = plugins().get(cmd_name)
        return _load(cmd_name, place) if place else super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            if name in COMMANDS:
                rows.append((name, COMMANDS[name][1]))
            elif command := self.get_command(ctx, name):
                rows.append((name, command.get_short_help_str(60)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _pipe():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _pipe():
            return super().invoke(ctx)

    def main(self, args: Sequence[str] | None = None, *_: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Runs a command and ends the process, as click does, with errors as JSON if that is asked for."""
        words = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(words, standalone_mode=False, **extra)
        try:
            code = super().main(words, standalone_mode=False, **extra)
        except click.ClickException as error:
            failures.show(error, as_json=_wants_json(words))
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("Aborted!", err=True)
            sys.exit(ExitCode.ERROR)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)


@click.group(
    cls=Root,
    epilog=EXIT_CODES_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=(
        "evergreen video generate --project film --scene s1 --image a.jpg --prompt '…' --out clip.mp4",
        "evergreen job list --project film --since yesterday --failed",
        "evergreen --context prod health",
    ),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, value: _tell_version(context) if value and not context.resilient_parsing else None,
    help="Show the version and exit.",
)
@global_options(environment=True)
def evergreen() -> None:
    """Generate AI video clips, pictures, speech and sounds with an Evergreen service.

    stdout carries data, stderr carries messages. These options may also follow the subcommand. Instead of a job's id,
    its end is enough, as it is shown: …0e450440.
    """


def _tell_version(context: click.Context) -> None:
    click.echo(f"evergreen, version {version()}")
    context.exit()


def _wants_json(words: Sequence[str]) -> bool:
    return "--output=json" in words or ("--output", "json") in pairwise(words)


@contextmanager
def _pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        # click would end with 1.
        raise ClosedPipe from error


def _load(name: str, place: str) -> click.Command:
    try:
        command = load(place)
    except ModuleNotFoundError as error:
        return _missing(name, error)
    if not isinstance(command, click.Command):
        raise click.ClickException(f"the entry point {name} ({place}) is not a click command")
    return command


def _missing(name: str, error: ModuleNotFoundError) -> click.Command:
    """Returns a stand-in for a command whose package is not completely installed; calling it explains that."""

    def refuse() -> None:
        raise click.ClickException(
            f"{name} needs the server: pip install 'evergreen-video[server]' ({error.name} is missing)"
        )

    return click.Command(
        name,
        callback=refuse,
        short_help="Not installed; needs evergreen-video[server].",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
