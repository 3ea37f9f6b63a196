"""The exit codes of the command line, which are part of its interface."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The meaning of each exit code."""

    OK = 0
    ERROR = 1
    USAGE = 2
    JOB_FAILED = 3
    NEEDS_ATTENTION = 4
    INTERRUPTED = 130


EXIT_CODES_HELP = f"""\b
Exit codes:
  {ExitCode.OK:<4} success; also if the reader of stdout has closed it, as `| head` does
  {ExitCode.ERROR:<4} the call failed, or the service is not healthy
  {ExitCode.USAGE:<4} the command line is wrong; nothing was sent
  {ExitCode.JOB_FAILED:<4} a watched job failed, was cancelled or expired
  {ExitCode.NEEDS_ATTENTION:<4} a watched job needs `evergreen job resolve`
  {ExitCode.INTERRUPTED:<4} interrupted by Ctrl-C; jobs continue
"""
