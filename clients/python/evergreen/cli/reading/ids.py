"""Short ids of jobs, as they are shown: `…0e450440`, the end of an id, or any other beginning or end that is unique."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evergreen.wire import WireClient

SEARCHED = 2000
"""How many of the newest jobs of a service are looked through that does not search itself."""
TOLD = 5
"""How many ids are named where several are meant."""

_SHORT = re.compile(r"…?([0-9a-f-]{4,35})")
_PAGE = 200


async def whole_ids(client: WireClient, texts: Sequence[str]) -> list[str]:
    """Returns the ids that texts mean; what has not the form of a short id is an id.

    Raises UsageError for one that no job has, or several have.
    """
    short = {text: match[1] for text in texts if (match := _SHORT.fullmatch(text.strip().lower()))}
    if not short:
        return list(texts)
    meant = {text: await _found(client, part) for text, part in short.items()}
    for text, found in meant.items():
        if not found:
            raise click.UsageError(f"no job has an id that begins or ends with {text}")
        if len(found) > 1:
            more = ", …" if len(found) > TOLD else ""
            raise click.UsageError(
                f"several jobs have an id that begins or ends with {text}: {', '.join(found[:TOLD])}{more}"
            )
    return [meant[text][0] if text in meant else text for text in texts]


async def _found(client: WireClient, part: str) -> list[str]:
    """Returns the newest ids that begin or end with this, one more than are told."""
    found: list[str] = []
    strangers = 0
    async for job in client.list(job_id_part=part, newest_first=True, page_size=_PAGE):
        if job.job_id.endswith(part) or job.job_id.startswith(part):
            found.append(job.job_id)
        else:
            # A service of the release before leaves the question for a part of ids unread.
            strangers += 1
        if len(found) > TOLD or strangers >= SEARCHED:
            break
    return found


async def whole_id(client: WireClient, text: str) -> str:
    """Returns the id that a text means. Raises UsageError."""
    return (await whole_ids(client, [text]))[0]
