"""Short ids of jobs, as they are shown: `…0e450440`, the end of an id, or any other beginning or end that is unique."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evergreen.wire import WireClient

SEARCHED = 2000
"""How many of the newest jobs are looked through."""

_SHORT = re.compile(r"…?([0-9a-f-]{4,35})")
_PAGE = 200


async def whole_ids(client: WireClient, texts: Sequence[str]) -> list[str]:
    """Returns the ids that texts mean; what has not the form of a short id is an id.

    Raises UsageError for one that no job has, or several have.
    """
    short = {text: match[1] for text in texts if (match := _SHORT.fullmatch(text.strip().lower()))}
    if not short:
        return list(texts)
    meant: dict[str, set[str]] = {text: set() for text in short}
    seen = 0
    async for job in client.list(newest_first=True, page_size=_PAGE):
        for text, part in short.items():
            if job.job_id.endswith(part) or job.job_id.startswith(part):
                meant[text].add(job.job_id)
        seen += 1
        if seen >= SEARCHED:
            break
    for text, found in meant.items():
        if not found:
            raise click.UsageError(f"none of the newest {seen:,} jobs has an id that begins or ends with {text}")
        if len(found) > 1:
            some = ", ".join(sorted(found)[:5])
            raise click.UsageError(f"{len(found)} jobs have an id that begins or ends with {text}: {some}")
    return [next(iter(meant[text])) if text in meant else text for text in texts]


async def whole_id(client: WireClient, text: str) -> str:
    """Returns the id that a text means. Raises UsageError."""
    return (await whole_ids(client, [text]))[0]
