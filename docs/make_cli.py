"""Writes the page on the command line in Markdown, from the commands themselves.

Run by `make docs`; the page goes to stdout.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "clients" / "python"))

from evergreen.cli.app import evergreen as root
from evergreen.cli.exits import EXIT_CODES_HELP

HEAD = """# The command line

<!-- Generated from clients/python/evergreen/cli by `make docs`; edit that. -->

`pip install 'evergreen-video[cli]'` gives the command `evergreen`. stdout carries data, stderr carries messages.

- **Ids and paths.** Wherever a job is named, the end of its id is enough, as it is shown: `…0e450440`, or any
  beginning or end that only one job has. A file is named by its path in its scene or as it is
  printed, `projects/film/s1/videos/x.mp4`.
- **Where the service is** say options, else `EVERGREEN_*` variables ([settings](settings.md)), else the context of
  `evergreen context use`. `--context NAME` stands for all of it: the environment does not count then. A token is sent
  only to the service that was named together with it.
- **Project and scene** come from `--project` and `--scene`, else from `EVERGREEN_PROJECT` and `EVERGREEN_SCENE`, else
  from the context.
- **Texts** (`--prompt`, `--text`): `@FILE` reads a file, `-` stdin; `@@` begins a text that begins with `@`.
- **Times**: `2h`, `3d`, `10m` (before or from now), `yesterday`, `today`, `tomorrow`, or ISO 8601, which is local
  without an offset.
- **JSON.** With `--output json`, stdout has one object per line: the contract's field names, numbers as numbers,
  zeros and empty lists too, states and kinds as options take them (`succeeded`), times in UTC. What is not known is
  left out. Errors are `{"error": {"message", "exit_code", "code", "reason", …}}` on stderr.
- **Terminals** that are narrow lose columns, and no letters; pipes and files get all columns, whole ids, and times in
  UTC.
- **A pipe that its reader closes** (`evergreen job list | head -1`) is no error: the command ends with 0, also under
  `pipefail`.
- **Completion** of commands, options, files, projects, scenes, jobs and models: `evergreen completion bash|zsh|fish`.
"""


def page() -> str:
    """Returns the page."""
    codes = [line.strip() for line in EXIT_CODES_HELP.splitlines() if re.match(r" +\d", line)]
    rows = [re.sub(r"^(\d+) +(.*)$", r"| \1 | \2 |", line) for line in codes]
    parts = [HEAD, "## Exit codes\n\n| code | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"]
    parts.append("## Options of every command\n\nThey stand before the command or behind it.\n\n" + _options(root))
    for words, command in _commands(root, ()):
        parts.append(_section(words, command))
    return "\n".join(parts)


def _commands(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if words == ("video",) and name != "generate":
            continue
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*words, name))


def _section(words: tuple[str, ...], command: click.Command) -> str:
    level = "##" if len(words) == 1 else "###"
    parts = [f"{level} evergreen {' '.join(words)}\n", _text(command.help or "")]
    if words == ("video",):
        parts.append("Besides `generate`, it has all that `evergreen job` has.\n")
    if not isinstance(command, click.Group):
        usage = " ".join(part for param in command.params for part in param.get_usage_pieces(click.Context(command)))
        parts.append(f"`evergreen {' '.join(words)} [OPTIONS]{' ' + usage if usage else ''}`\n")
        if shown := _options(command):
            parts.append(shown)
    if examples := getattr(command, "examples", ()):
        parts.append("```sh\n" + "\n".join(examples) + "\n```\n")
    return "\n".join(parts)


def _options(command: click.Command) -> str:
    rows = []
    for each in command.params:
        record = None
        if isinstance(each, click.Option) and not each.hidden:
            # In a context of its own, so that no setting of this machine shows.
            record = each.get_help_record(click.Context(command))
        if record is not None:
            names, told = (re.sub(r"\s+", " ", part).replace("|", "\\|") for part in record)
            rows.append(f"| `{names}` | {told} |")
    return "| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""


def _text(help_text: str) -> str:
    return re.sub(r"\n {2,}", "\n", help_text.replace("\b\n", "")).strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
