"""The root of the command line: the client's commands, and those that installed packages add.

A package adds commands through entry points of the group `evergreen.commands`, each of which names a click command.
The server adds `serve`, `sandbox` and `token` in this way, and the client never imports the server.
"""

from importlib.metadata import EntryPoint, entry_points

import click

from evergreen.cli.commands.audit import audit
from evergreen.cli.commands.completion import completion
from evergreen.cli.commands.film import film
from evergreen.cli.commands.film_edit import edit
from evergreen.cli.commands.film_export import export
from evergreen.cli.commands.film_runs import approve, cancel, start, watch
from evergreen.cli.commands.jobs import job
from evergreen.cli.commands.making import image, sound, speech
from evergreen.cli.commands.models import models
from evergreen.cli.commands.project import project
from evergreen.cli.commands.scene import scene
from evergreen.cli.commands.service import account, health, whoami
from evergreen.cli.commands.video import video
from evergreen.cli.exits import EXIT_CODES_HELP
from evergreen.cli.session import global_options

PLUGINS = "evergreen.commands"


class Root(click.Group):
    """A group that also offers the commands of entry points; each is loaded only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group=PLUGINS).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        found = entry_points(group=PLUGINS, name=cmd_name)
        return _load(next(iter(found))) if found else None


@click.group(cls=Root, epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evergreen-video")
@global_options(environment=True)
def evergreen() -> None:
    """Generate AI video clips, pictures, speech and sounds with an Evergreen service.

    stdout carries data, stderr carries messages. These options may also follow the subcommand.
    """


for _command in (edit, start, watch, approve, cancel, export):
    film.add_command(_command)
for _command in (video, image, speech, sound, film, job, scene, project, models, account, whoami, health, completion):
    evergreen.add_command(_command)
evergreen.add_command(audit)


def _load(entry: EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        return _missing(entry, error)
    if not isinstance(command, click.Command):
        raise click.ClickException(f"the entry point {entry.name} ({entry.value}) is not a click command")
    return command


def _missing(entry: EntryPoint, error: ModuleNotFoundError) -> click.Command:
    """Returns a stand-in for a command whose package is not completely installed; calling it explains that."""

    def refuse() -> None:
        raise click.ClickException(
            f"{entry.name} needs the server: pip install 'evergreen-video[server]' ({error.name} is missing)"
        )

    return click.Command(
        entry.name,
        callback=refuse,
        short_help="Not installed; needs evergreen-video[server].",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
