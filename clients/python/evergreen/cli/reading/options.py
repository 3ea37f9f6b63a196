"""Options that many commands have: whose project and scene, from the command line, the environment or a context."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from evergreen.cli.completing import projects, scenes
from evergreen.cli.session import session

Command = TypeVar("Command", bound=Callable[..., object])


class PlaceOption(click.Option):
    """A project or a scene; the context names it if nothing else does."""

    def __init__(self, *args: Any, kind: str, **attributes: Any) -> None:
        self.kind = kind
        super().__init__(*args, **attributes)

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        return getattr(session(ctx), self.kind) or super().get_default(ctx, call)


def project_option(help: str = "The project.", *, required: bool = True) -> Callable[[Command], Command]:
    """Returns the option --project, which EVERGREEN_PROJECT and a context give as well."""
    return click.option(
        "--project",
        cls=PlaceOption,
        kind="project",
        required=required,
        metavar="ID",
        envvar="EVERGREEN_PROJECT",
        show_envvar=True,
        shell_complete=projects,
        help=help,
    )


def scene_option(
    help: str = "The scene.", *, name: str = "scene_id", required: bool = True
) -> Callable[[Command], Command]:
    """Returns the option --scene, which EVERGREEN_SCENE and a context give as well."""
    return click.option(
        "--scene",
        name,
        cls=PlaceOption,
        kind="scene",
        required=required,
        metavar="ID",
        envvar="EVERGREEN_SCENE",
        show_envvar=True,
        shell_complete=scenes,
        help=help,
    )


def on_command_line(context: click.Context, *names: str) -> frozenset[str]:
    """Returns those of the parameters that stand on the command line, by what they name: "project", "scene"."""
    source = click.core.ParameterSource.COMMANDLINE
    return frozenset(name.removesuffix("_id") for name in names if context.get_parameter_source(name) is source)
