"""The `evergreen` command: the client's commands, and those that other packages add."""

import os
import sys


def main() -> None:
    """Runs the command. Entry point of the `evergreen` script."""
    # gRPC's own lines, of its C++ core, say nothing to people and break a log of JSON.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from evergreen.cli.app import ClosedPipe, evergreen
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit("the evergreen command needs more than the client: pip install 'evergreen-video[cli]'")
    try:
        try:
            evergreen(prog_name="evergreen")
        finally:
            sys.stdout.flush()
    except (BrokenPipeError, ClosedPipe):
        # Who closes it has read enough, as `head` has: no error, also for a shell's pipefail.
        _drop_output()
        sys.exit(0)
    except OSError as error:
        # Of stdout, such as a full disk; what concerns a file or the service is told where it happens.
        _drop_output()
        sys.exit(f"Error: the output cannot be written: {error.strerror or error}")


def _drop_output() -> None:
    """Has Python end without writing what is left in the buffer of stdout, which would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
