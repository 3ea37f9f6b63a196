"""Writes data to stdout: columns and facts for people. `messages` writes JSON."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

GAP = "  "


class Form(StrEnum):
    """The format of stdout."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table. Where a terminal is too narrow, cells give way to their `narrow` form, then columns with a
    high `drop` are left out; those with 0 stay."""

    head: str
    drop: int = 0
    narrow: Sequence[str] | None = None
    """The short form of each cell, in the order of the rows."""


def write_json(message: Message) -> None:
    """Writes a message as one line of JSON, as `messages` says."""
    from evergreen.cli.work.messages import json_line

    click.echo(json_line(message))


def write_table(heads: Sequence[str | Column], rows: Sequence[Sequence[str]]) -> None:
    """Writes rows in columns as wide as needed, so that each row stays one line.

    A terminal gets the columns that fit; a pipe or a file gets all of them.
    """
    if not rows:
        return
    columns = [each if isinstance(each, Column) else Column(head=each) for each in heads]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    cells = [[plain(row[number]) or "-" for row in rows] for number in range(len(columns))]
    kept = _fitting(columns, cells, width)
    widths = {number: max(len(columns[number].head), *map(len, cells[number])) for number in kept}
    for row in range(-1, len(rows)):
        words = [(columns[number].head if row < 0 else cells[number][row]).ljust(widths[number]) for number in kept]
        click.echo(GAP.join(words).rstrip())


def _fitting(columns: Sequence[Column], cells: list[list[str]], width: int | None) -> list[int]:
    """Returns the numbers of the columns that fit, after what has a narrow form was given it, if needed."""

    def needed(numbers: Sequence[int]) -> int:
        return sum(max(len(columns[n].head), *map(len, cells[n])) for n in numbers) + len(GAP) * (len(numbers) - 1)

    kept = list(range(len(columns)))
    if width is None:
        return kept
    for number, column in enumerate(columns):
        if column.narrow is not None and needed(kept) > width:
            cells[number] = [plain(cell) or "-" for cell in column.narrow]
    while needed(kept) > width and any(columns[number].drop for number in kept):
        kept.remove(max(kept, key=lambda number: columns[number].drop))
    return kept


def write_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Writes name-value pairs, one per line; omits empty values."""
    told = [(name, plain(value)) for name, value in facts if value]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        click.echo(f"{name.ljust(width)}  {value}")


def say(text: str) -> None:
    """Writes a message for the user to stderr; stdout is only for data."""
    click.echo(plain(text), err=True)


def plain(text: str) -> str:
    """Replaces control characters, which a terminal would execute."""
    return "".join(letter if letter == "\n" or letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def moment(timestamp: Timestamp) -> str:
    """Returns a time in UTC, to the second; empty if there is none."""
    return timestamp.ToDatetime().strftime("%Y-%m-%dT%H:%M:%SZ") if timestamp.ByteSize() else ""


def when(timestamp: Timestamp) -> str:
    """Returns a time as people say it on a terminal, `3 min ago`, and in UTC elsewhere; empty if there is none."""
    if not timestamp.ByteSize() or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return moment(timestamp)
    return ago(datetime.now(UTC).timestamp() - timestamp.ToNanoseconds() / 1e9)


def ago(seconds: float) -> str:
    """Returns how long ago something was: `12 s ago`, `3 min ago`, `2 h ago`, `5 d ago`; in the future: `in 3 min`."""
    length = _length(abs(seconds))
    return f"in {length}" if seconds < 0 else f"{length} ago"


def _length(seconds: float) -> str:
    for unit, size, most in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{seconds / size:.0f} {unit}" if round(seconds / size) < most else f"{most} {unit}"
    return f"{seconds / 86400:.0f} d"


def number(value: float) -> str:
    """Returns credits or seconds without trailing zeros."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def encodable(stream: object, text: str, otherwise: str) -> str:
    """Returns the text, or another one where a stream's encoding has not all of its characters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return otherwise
    return text
