"""The exit codes of the command, which are part of its interface."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command's exit code says."""

    OK = 0
    ERROR = 1
    USAGE = 2
    JOB_FAILED = 3
    NEEDS_ATTENTION = 4
    INTERRUPTED = 130


EXIT_CODES_HELP = f"""\b
Exit codes:
  {ExitCode.OK:<4} done
  {ExitCode.ERROR:<4} the call failed, or the service is not healthy
  {ExitCode.USAGE:<4} the command line is wrong; nothing was sent
  {ExitCode.JOB_FAILED:<4} a watched job failed, was cancelled or expired
  {ExitCode.NEEDS_ATTENTION:<4} a watched job needs `evergreen video resolve`
  {ExitCode.INTERRUPTED:<4} interrupted by Ctrl-C; jobs go on
"""
