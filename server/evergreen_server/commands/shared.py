"""What commands share: the settings, a run until a signal, and text for a terminal."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from evergreen_server.config import Config

__all__ = ["named", "readable", "run", "settings"]


def settings(*, sandbox: bool, insecure: bool, listen: str | None = None, http: str | None = None) -> Config:
    """Returns the settings; ends the process if they are invalid, with every error."""
    from evergreen_server.config import Config, ConfigError

    try:
        return Config.from_env(os.environ, sandbox=sandbox, listen=listen, insecure=insecure, http=http)
    except ConfigError as exc:
        for error in exc.errors:
            click.echo(error, err=True)
        raise SystemExit(2) from exc


def named(exc: Exception, *names: str) -> str:
    """Returns what is wrong with those of the settings that are set, which the text of a fault does not know."""
    given = [name for name in names if os.environ.get(name)]
    return f"{exc} ({', '.join(given)})" if given else str(exc)


def run(work: Callable[[asyncio.Event], Coroutine[object, object, None]]) -> None:
    import asyncio

    import uvloop

    async def until_signalled() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await work(stop)

    uvloop.run(until_signalled())


def readable(body: bytes) -> str:
    """Returns an answer for a terminal: JSON indented, and no control characters."""
    text = body.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return "".join(letter if letter == "\n" or letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
