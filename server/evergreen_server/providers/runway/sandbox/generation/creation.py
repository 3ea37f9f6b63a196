"""Creates a task from a request body: checks it, stores its media, prices it, and decides how it will end."""

import math
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evergreen_server.providers.runway.catalog.models import Issue, Json, Operation, check_body, duration_bounds
from evergreen_server.providers.runway.sandbox.generation.assets import (
    Asset,
    AssetRefused,
    Assets,
    named_in,
    on_asset_host,
)
from evergreen_server.providers.runway.sandbox.generation.media import media_issues
from evergreen_server.providers.runway.sandbox.generation.prices import Order, charge
from evergreen_server.providers.runway.sandbox.generation.shape import (
    DONE,
    DRAFT,
    clip_form,
    clip_seconds,
    clip_size,
    has_sound,
    sized,
)
from evergreen_server.providers.runway.sandbox.http.answers import Answer, invalid, refusal
from evergreen_server.providers.runway.sandbox.http.faults import Fault
from evergreen_server.providers.runway.sandbox.settings import Settings
from evergreen_server.providers.runway.sandbox.state.books import Books, DailyLimitReached, NotEnoughCredits
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI, PlannedFailure, Source, TaskRecord, credits_of

_DRAFT_LIFE_SECONDS = 7 * 24 * 3600.0


class Creation:
    """Answers the three generation endpoints."""

    def __init__(self, *, books: Books, assets: Assets, clock: SimulatedClock, seed: int) -> None:
        self._books = books
        self._assets = assets
        self._clock = clock
        self._seed = seed

    async def create(
        self, operation: Operation, body: Mapping[str, Json], digest: str, settings: Settings, plan: Sequence[Fault]
    ) -> Answer:
        """Returns 200 with a task that is already recorded, or why there is none."""
        issues = check_body(operation, _without_asset_hosts(body, settings), strict=settings.strict)
        if issues:
            return invalid([issue.record() for issue in issues])
        taken, issues = await self._take(operation, body, settings)
        if issues:
            return invalid([issue.record() for issue in issues])
        draft = self._draft(body)
        if isinstance(draft, Issue):
            return invalid([draft.record()])
        record = self._record(operation, body, digest, taken, settings, draft)
        for fault in plan:
            record = _planned(record, fault)
        try:
            task = self._books.create(record)
        except NotEnoughCredits:
            return refusal(400, "You do not have enough credits to run this task.")
        except DailyLimitReached:
            return refusal(429, "Your daily task limit has been reached.")
        return Answer(
            status=200,
            task_id=record.id,
            body={"id": record.id, "estimatedCost": {"credits": credits_of(task.record.estimate)}},
        )

    async def _take(
        self, operation: Operation, body: Mapping[str, Json], settings: Settings
    ) -> tuple[list[Asset], list[Issue]]:
        taken: list[Asset] = []
        issues: list[Issue] = []
        for named in named_in(body):
            try:
                asset = await self._assets.take(
                    named, settings=settings, uploads=self._books.uploads, now=self._clock.now()
                )
            except AssetRefused as exc:
                issues.append(Issue(named.place, "custom", str(exc)))
                continue
            taken.append(asset)
        return taken, [*issues, *media_issues(operation, body, taken)]

    def _draft(self, body: Mapping[str, Json]) -> TaskRecord | Issue | None:
        """Finds the draft that is to be enhanced, where the body names one."""
        if "draftTaskId" not in body:
            return None
        now, place = self._clock.now(), ("draftTaskId",)
        task = self._books.task(str(body["draftTaskId"]), now)
        if task is None or task.deleted_at is not None or not task.record.draft:
            return Issue(place, "custom", "draftTaskId must name a task that was created with draft.")
        if task.status(now) != "SUCCEEDED":
            return Issue(place, "custom", "draftTaskId must name a draft that has succeeded.")
        if task.ends_at is not None and now - task.ends_at > _DRAFT_LIFE_SECONDS:
            return Issue(place, "custom", "draftTaskId must name a draft of the last 7 days.")
        return task.record

    def _record(
        self,
        operation: Operation,
        body: Mapping[str, Json],
        digest: str,
        taken: Sequence[Asset],
        settings: Settings,
        draft: TaskRecord | None,
    ) -> TaskRecord:
        first = next((asset for asset in taken if asset.kind in {"image", "video"}), None)
        video = next((asset for asset in taken if asset.kind == "video"), None)
        if operation is Operation.VIDEO_TO_VIDEO:
            first = video or first
        seconds = draft.clip_seconds if draft else clip_seconds(operation, body, video)
        width, height = clip_size(operation, body, first)
        if draft or body.get("draft") is True:
            width, height = sized(draft.width, draft.height, DONE) if draft else sized(width, height, DRAFT)
        order = Order(operation=operation, body=body, media=taken, seconds=seconds)
        longest = duration_bounds(operation, str(body["model"]))
        # Where the model chooses the length, the longest is reserved and the rest refunded at the end.
        reserved = replace(order, seconds=float(longest[1])) if body.get("duration") == "auto" and longest else order
        mean = settings.task_mean_seconds * seconds / 5
        return TaskRecord(
            id=str(uuid.uuid4()),
            operation=operation.value,
            model=str(body["model"]),
            prompt_text=draft.prompt_text if draft else str(body.get("promptText") or ""),
            body_digest=digest,
            created_at=self._clock.now(),
            estimate=charge(reserved),
            # An estimate may be fractional; the final charge is whole.
            cost=charge(order) // MILLI * MILLI,
            pending_seconds=settings.pending_seconds,
            running_seconds=_log_normal(
                random.Random(f"{self._seed}:{self._books.count}"), mean=mean, sigma=settings.task_sigma
            ),
            width=width,
            height=height,
            clip_seconds=seconds,
            source=draft.source if draft else _source(first),
            draft=body.get("draft") is True,
            form=clip_form(body),
            sound=draft.sound if draft else has_sound(body),
        )


def _log_normal(source: random.Random, *, mean: float, sigma: float) -> float:
    """Draws a duration with this mean, spread by `sigma` as a part of it."""
    spread = math.sqrt(math.log1p(sigma * sigma))
    return max(0.001, source.lognormvariate(math.log(mean) - spread * spread / 2, spread))


def _source(asset: Asset | None) -> Source | None:
    if asset is None:
        return None
    return Source(digest=asset.digest, kind="video" if asset.kind == "video" else "image")


def _planned(record: TaskRecord, fault: Fault) -> TaskRecord:
    match fault.kind:
        case "failure":
            failure = PlannedFailure(code=fault.failure_code, message=fault.message, at=fault.at)
            return replace(record, failure=failure)
        case "throttle":
            return replace(record, held_seconds=fault.seconds)
        case "many_outputs":
            return replace(record, outputs=fault.number)
        case _:
            return replace(record, padding_bytes=fault.bytes)


def _without_asset_hosts(body: Mapping[str, Json], settings: Settings) -> dict[str, Json]:
    """Replaces each URL that is exempt from the rules on scheme and host, so that the other rules still apply."""
    changed = dict(body)
    if not settings.asset_hosts:
        return changed
    for named in named_in(body):
        if not on_asset_host(named.uri, settings):
            continue
        match named.place:
            case (str(name),):
                changed[name] = "runway://asset-host"
            case (str(name), int(index), _):
                items = changed[name]
                assert isinstance(items, list)
                item = items[index]
                assert isinstance(item, dict)
                stand_in: Json = {**item, "uri": "runway://asset-host"}
                changed[name] = [*items[:index], stand_in, *items[index + 1 :]]
    return changed
