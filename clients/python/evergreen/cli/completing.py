"""What a shell completes by asking the service: projects, scenes, jobs, models, files of a scene.

A service that does not answer within two seconds, or refuses, completes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from evergreen.cli.names import KINDS
from evergreen.cli.session import session

if TYPE_CHECKING:
    from evergreen.wire import WireClient

SECONDS = 2.0
MOST = 200


def projects(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the caller's projects."""

    async def work(client: WireClient) -> list[CompletionItem]:
        return [CompletionItem(each.project_id) async for each in client.projects(page_size=1000)]

    return _fitting(_ask(context, work), incomplete)


def scenes(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the scenes of the project that the command line, the environment or the context names."""
    project = _said(context, "project")
    if not project:
        return []

    async def work(client: WireClient) -> list[CompletionItem]:
        return [CompletionItem(each.scene_id, help=each.status) async for each in client.scenes.list(project)]

    return _fitting(_ask(context, work), incomplete)


def jobs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the newest jobs: of the project, if one is named."""

    async def work(client: WireClient) -> list[CompletionItem]:
        from evergreen.cli.work.wording import where

        found: list[CompletionItem] = []
        async for job in client.list(project_id=_said(context, "project") or "", newest_first=True, page_size=MOST):
            found.append(CompletionItem(job.job_id, help=f"{job.scene_id} {where(job)}"))
            if len(found) >= MOST:
                break
        return found

    given = set(context.params.get("job_ids") or ())
    found = _fitting(_ask(context, work), incomplete.removeprefix("…"), end=True)
    return [item for item in found if item.value not in given]


def models(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the models of the kind that the command makes."""
    group = context.parent.info_name if context.parent else None

    async def work(client: WireClient) -> list[CompletionItem]:
        from evergreen.v1.video_pb2 import MediaKind

        kinds = [MediaKind.Value(f"MEDIA_KIND_{group.upper()}")] if group in KINDS else None
        listed = await (client.models(kinds) if kinds else client.models())
        return [CompletionItem(each.model) for each in listed]

    return _fitting(_ask(context, work), incomplete)


def assets(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Returns the files of the scene that is named."""
    project, scene = _said(context, "project"), _said(context, "scene")
    if not project or not scene:
        return []

    async def work(client: WireClient) -> list[CompletionItem]:
        shown = await client.scenes.show(project, scene)
        return [CompletionItem(asset.path) for folder in shown.folders for asset in folder.assets]

    return _fitting(_ask(context, work), incomplete)


def _ask(context: click.Context, work: Callable[[WireClient], Awaitable[list[CompletionItem]]]) -> list[CompletionItem]:
    try:
        return replace(session(context), timeout=SECONDS).run(work)
    except (click.ClickException, click.exceptions.Exit, OSError):
        return []


def _said(context: click.Context, name: str) -> str | None:
    value = context.params.get(name) or context.params.get(f"{name}_id") or getattr(session(context), name)
    return None if value is None else str(value)


def _fitting(items: list[CompletionItem], incomplete: str, *, end: bool = False) -> list[CompletionItem]:
    """Returns the items that begin with what is written; with `end`, also those that end with it."""
    return [
        item
        for item in items
        if item.value.startswith(incomplete) or (end and len(incomplete) > 3 and item.value.endswith(incomplete))
    ]
