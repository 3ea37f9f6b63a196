"""The `evergreen` command: the client's commands, and those that other packages add."""

import sys


def main() -> None:
    """Runs the command. Entry point of the `evergreen` script."""
    try:
        from evergreen.cli.app import evergreen
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit("the evergreen command needs more than the client: pip install 'evergreen-video[cli]'")
    evergreen(prog_name="evergreen")
