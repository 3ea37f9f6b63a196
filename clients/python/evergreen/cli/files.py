"""What a shell completes without asking the service: files, and the names of contexts. `completing` asks it."""

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from evergreen.cli import contexts

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem] | list[str]]


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Has the shell complete a file of this machine."""
    return [CompletionItem(incomplete, type="file")]


def named_contexts(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the user's contexts."""
    try:
        known = contexts.read().known
    except click.UsageError:
        return []
    return [
        CompletionItem(name, help=context.get("endpoint", ""))
        for name, context in known.items()
        if name.startswith(incomplete)
    ]
