"""`evergreen completion`: the completion scripts for shells."""

import click
from click.shell_completion import get_completion_class

from evergreen.cli.verbs import verb

VARIABLE = "_EVERGREEN_COMPLETE"


@verb(
    examples=(
        "evergreen completion bash > ~/.local/share/bash-completion/completions/evergreen",
        "evergreen completion zsh > DIRECTORY_IN_FPATH/_evergreen",
        "evergreen completion fish > ~/.config/fish/completions/evergreen.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell: of commands, options, files, projects, scenes, jobs and models."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells that the argument names"
    click.echo(kind(context.find_root().command, {}, "evergreen", VARIABLE).source())
