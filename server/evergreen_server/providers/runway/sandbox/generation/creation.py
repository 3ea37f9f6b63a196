"""Creates a task from a request body: checks it, stores its media, prices it, and decides how it will end."""

import math
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from evergreen_server.providers.runway.catalog.models import Issue, Json, Operation, check_body, duration_bounds
from evergreen_server.providers.runway.sandbox.generation.asked import inside, text_of
from evergreen_server.providers.runway.sandbox.generation.assets import (
    Asset,
    AssetRefused,
    Assets,
    Place,
    named_in,
    on_asset_host,
)
from evergreen_server.providers.runway.sandbox.generation.media import media_issues
from evergreen_server.providers.runway.sandbox.generation.prices import Order, charge
from evergreen_server.providers.runway.sandbox.generation.product import Product
from evergreen_server.providers.runway.sandbox.generation.products import product_of
from evergreen_server.providers.runway.sandbox.generation.shape import DONE, sized
from evergreen_server.providers.runway.sandbox.http.answers import Answer, invalid, refusal
from evergreen_server.providers.runway.sandbox.http.faults import Fault
from evergreen_server.providers.runway.sandbox.settings import Settings
from evergreen_server.providers.runway.sandbox.state.books import Books, DailyLimitReached, NotEnoughCredits
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI, PlannedFailure, Source, TaskRecord, credits_of

_DRAFT_LIFE_SECONDS = 7 * 24 * 3600.0


_STILL_SECONDS, _SOUND_SECONDS = 2.5, 1.5
"""Seconds of a clip that take as long to make as a picture, and as a sound before its own length counts."""


class KnownResources(Protocol):
    """What the account has made before, and a body can name once it is ready."""

    def picture_of(self, avatar_id: str, now: float) -> str | None:
        """Returns the picture of an avatar, by its SHA-256; None where there is no such avatar that is ready."""
        ...

    def has_voice(self, voice_id: str, now: float) -> bool: ...


class Creation:
    """Answers every call that makes a task from one body."""

    def __init__(
        self, *, books: Books, assets: Assets, clock: SimulatedClock, known: KnownResources, seed: int
    ) -> None:
        self._books = books
        self._assets = assets
        self._clock = clock
        self._known = known
        self._seed = seed

    async def create(
        self, operation: Operation, body: Mapping[str, Json], digest: str, settings: Settings, plan: Sequence[Fault]
    ) -> Answer:
        """Returns 200 with a task that is already recorded, or why there is none."""
        record = await self._checked(operation, body, digest, settings)
        if not isinstance(record, TaskRecord):
            return invalid([issue.record() for issue in record])
        for fault in plan:
            record = _planned(record, fault)
        try:
            task = self._books.create(record)
        except NotEnoughCredits:
            return refusal(400, "You do not have enough credits to run this task.")
        except DailyLimitReached:
            return refusal(429, "Your daily task limit has been reached.")
        said: dict[str, Json] = {"id": record.id}
        if operation is not Operation.AVATAR_VIDEOS:
            said["estimatedCost"] = {"credits": credits_of(task.record.estimate)}
        return Answer(status=200, task_id=record.id, body=said)

    async def priced(self, operation: Operation, body: Mapping[str, Json], settings: Settings) -> int | None:
        """Returns what a task would be charged at most, in millicredits; None if it would be refused."""
        record = await self._checked(operation, body, "", settings)
        return record.estimate if isinstance(record, TaskRecord) else None

    async def _checked(
        self, operation: Operation, body: Mapping[str, Json], digest: str, settings: Settings
    ) -> TaskRecord | list[Issue]:
        """Returns what would be recorded of a task, or everything wrong with its body."""
        issues = check_body(operation, _without_asset_hosts(body, settings), strict=settings.strict)
        issues = issues or [*self._unknown(body)]
        if issues:
            return issues
        taken, issues = await self._take(operation, body, settings)
        if issues:
            return issues
        draft = self._draft(body)
        if isinstance(draft, Issue):
            return [draft]
        return self._record(operation, body, digest, taken, settings, draft)

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

    def _unknown(self, body: Mapping[str, Json]) -> Iterator[Issue]:
        """Finds the custom avatar and voice of a talking head that do not exist, or not yet."""
        avatar, voice, now = inside(body, "avatar"), inside(inside(body, "speech"), "voice"), self._clock.now()
        if avatar.get("type") == "custom" and self._known.picture_of(str(avatar.get("avatarId")), now) is None:
            yield Issue(("avatar", "avatarId"), "custom", "Could not find Avatar")
        if voice.get("type") == "custom" and not self._known.has_voice(str(voice.get("id")), now):
            yield Issue(("speech", "voice", "id"), "custom", "Could not find Voice")

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
        product = product_of(operation, body, taken)
        if draft:
            width, height = sized(draft.width, draft.height, DONE)
            product = replace(
                product,
                width=width,
                height=height,
                seconds=draft.clip_seconds,
                source=draft.source,
                sound=draft.sound,
            )
        avatar = inside(body, "avatar").get("avatarId")
        if avatar is not None and (picture := self._known.picture_of(str(avatar), self._clock.now())) is not None:
            product = replace(product, source=Source(digest=picture, kind="image"))
        order = Order(operation=operation, body=body, media=taken, seconds=product.seconds)
        longest = duration_bounds(operation, order.model)
        # Where the model chooses the length, the longest is reserved and the rest refunded at the end.
        reserved = replace(order, seconds=float(longest[1])) if body.get("duration") == "auto" and longest else order
        mean = settings.task_mean_seconds * _effort(product) / 5
        return TaskRecord(
            id=str(uuid.uuid4()),
            operation=operation.value,
            model=order.model,
            prompt_text=draft.prompt_text if draft else text_of(body),
            body_digest=digest,
            created_at=self._clock.now(),
            estimate=charge(reserved),
            # An estimate may be fractional; the final charge is whole.
            cost=charge(order) // MILLI * MILLI,
            pending_seconds=settings.pending_seconds,
            running_seconds=_log_normal(
                random.Random(f"{self._seed}:{self._books.count}"), mean=mean, sigma=settings.task_sigma
            ),
            width=product.width,
            height=product.height,
            clip_seconds=product.seconds,
            source=product.source,
            outputs=product.outputs,
            draft=body.get("draft") is True,
            form=product.form,
            sound=product.sound,
            references=product.references,
            making={**product.making, **({"seed": body["seed"]} if "seed" in body else {})},
        )


def _effort(product: Product) -> float:
    """Returns how many seconds of a clip take as long to make."""
    if not product.seconds:
        return _STILL_SECONDS
    return product.seconds if product.width else _SOUND_SECONDS + product.seconds / 10


def _log_normal(source: random.Random, *, mean: float, sigma: float) -> float:
    """Draws a duration with this mean, spread by `sigma` as a part of it."""
    spread = math.sqrt(math.log1p(sigma * sigma))
    return max(0.001, source.lognormvariate(math.log(mean) - spread * spread / 2, spread))


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
    changed: Json = dict(body)
    if settings.asset_hosts:
        for named in named_in(body):
            if on_asset_host(named.uri, settings):
                changed = _replaced(changed, named.place)
    assert isinstance(changed, dict)
    return changed


def _replaced(value: Json, place: Place) -> Json:
    match value, place:
        case dict(), (str(name), *rest):
            return {**value, name: _replaced(value[name], tuple(rest))}
        case list(), (int(index), *rest):
            return [*value[:index], _replaced(value[index], tuple(rest)), *value[index + 1 :]]
        case _:
            return "runway://asset-host"
