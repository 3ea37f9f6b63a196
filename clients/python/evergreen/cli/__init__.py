"""The `evergreen` command: the client's commands, and those that other packages add."""

import os
import sys


def main() -> None:
    """Runs the command. Entry point of the `evergreen` script."""
    try:
        from evergreen.cli.app import evergreen
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit("the evergreen command needs more than the client: pip install 'evergreen-video[cli]'")
    try:
        evergreen(prog_name="evergreen")
    except OSError as error:
        # Of stdout, such as a full disk; what concerns a file or the service is told where it happens. What is left in
        # its buffer would fail once more as Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"Error: the output cannot be written: {error.strerror or error}")
