"""`evergreen completion`: the completion scripts for shells."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_EVERGREEN_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  evergreen completion bash > ~/.local/share/bash-completion/completions/evergreen
    zsh:   evergreen completion zsh > DIRECTORY_IN_FPATH/_evergreen
    fish:  evergreen completion fish > ~/.config/fish/completions/evergreen.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells that the argument names"
    click.echo(kind(context.find_root().command, {}, "evergreen", VARIABLE).source())
