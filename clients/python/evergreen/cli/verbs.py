"""Commands and groups: with examples in their help, and every missing option named at once."""

from collections.abc import Callable, Sequence
from typing import Any

import click

GLOBAL = "--context, --endpoint, --output, --timeout, and those for tokens and TLS: see `evergreen --help`"
"""What may follow every verb; named in one line, since in full it would hide the verb's own options."""


class _Explained(click.Command):
    """A command with examples in its help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not isinstance(self, click.Group):
            formatter.write_paragraph()
            formatter.write_text(f"Options of every command: {GLOBAL}")
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        super().format_epilog(ctx, formatter)


class Verb(_Explained):
    """A command that does something."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the arguments. Raises UsageError that names every option which is missing, not the first alone."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            silent = click.Context(self, parent=ctx.parent, info_name=ctx.info_name, resilient_parsing=True)
            super().parse_args(silent, words)
            given = silent.params
            missing = [each for each in self.params if each.required and given.get(each.name or "") in (None, ())]
            if len(missing) < 2:
                raise
            named = ", ".join(each.get_error_hint(ctx) for each in missing)
            raise click.UsageError(f"Missing: {named}.", ctx=ctx) from error


class Verbs(_Explained, click.Group):
    """A group of commands."""

    command_class = Verb
    group_class = type


def verb(name: str | None = None, *, examples: Sequence[str]) -> Callable[[Callable[..., Any]], Verb]:
    """Returns a decorator that makes a command of a function."""
    return click.command(name, cls=Verb, examples=examples)


def verbs(name: str | None = None, *, examples: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Verbs]:
    """Returns a decorator that makes a group of a function."""
    return click.group(name, cls=Verbs, examples=examples)
