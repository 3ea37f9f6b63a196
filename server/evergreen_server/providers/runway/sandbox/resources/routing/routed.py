"""Routed generation: the caller says what is wanted, and a router which model makes it."""

import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from evergreen_server.providers.runway.catalog.models import Json, default_duration
from evergreen_server.providers.runway.sandbox.generation.asked import inside, number_in, pixels_of, word_in
from evergreen_server.providers.runway.sandbox.generation.creation import Creation
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Handler, Route
from evergreen_server.providers.runway.sandbox.resources.bodies import Media, body_issues, refused
from evergreen_server.providers.runway.sandbox.resources.records import Router, Routing
from evergreen_server.providers.runway.sandbox.resources.routing.pipeline import (
    FILTERS,
    Filter,
    Priced,
    allowed,
    provider_of,
    rank,
    stages,
)
from evergreen_server.providers.runway.sandbox.resources.routing.routed_inputs import (
    BODIES,
    Candidate,
    Modality,
    candidates,
    input_issues,
)
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI, credits_of

__all__ = ["Routed"]

_MODALITIES: tuple[Modality, ...] = ("video", "image", "audio")


class Routed:
    """Answers /v1/generate."""

    def __init__(self, *, shelves: Shelves, books: Books, media: Media, creation: Creation) -> None:
        self._shelves = shelves
        self._books = books
        self._media = media
        self._creation = creation

    def routes(self) -> list[Route]:
        return [
            Route(
                operation=f"generate_{modality}",
                method="POST",
                path=f"/v1/generate/{modality}",
                handler=self._handler(modality),
            )
            for modality in _MODALITIES
        ]

    def _handler(self, modality: Modality) -> Handler:
        async def generate(asked: Asked) -> Answer:
            return await self._generate(modality, asked)

        return generate

    async def _generate(self, modality: Modality, asked: Asked) -> Answer:
        slug = asked.body.get("configId")
        router = next((each for each in self._shelves.routers.all() if each.slug == slug), None)
        issues = body_issues(BODIES[modality], asked) or [*input_issues(modality, inside(asked.body, "input"))]
        if not issues and router is None:
            body: Json = {"error": "Router config not found", "code": "router_config_not_found"}
            return Answer(status=404, body=body)
        given, broken = (
            ({}, issues) if issues else await self._media.stored(asked, inside(asked.body, "input"), "input")
        )
        if broken or router is None:
            self._record(asked, router, status="invalid_request")
            return refused(broken)
        return await self._route(modality, given, router, asked)

    async def _route(self, modality: Modality, given: Mapping[str, Json], router: Router, asked: Asked) -> Answer:
        settings = router.settings
        ceiling = inside(settings, "maxCreditsPerGeneration").get(modality)
        left, pipeline = await self._filtered(modality, given, router, asked)
        if not left:
            emptied: list[Json] = [pipeline[-1]["filter"]]
            self._record(asked, router, status="no_eligible_model", pipeline=[*pipeline], emptiedBy=emptied)
            error = "No eligible model for this request with the router's settings."
            body: Json = {"error": error, "code": "no_eligible_model", "pipeline": [*pipeline], "emptiedBy": emptied}
            return Answer(status=400, body=body)
        aim = word_in(settings, "optimizeFor", "cost")
        ordered, outcome, reason = rank(left, aim)
        chosen, fallback = self._with_capacity(ordered, settings, asked.now)
        model = chosen.candidate.model
        routing: dict[str, Json] = {
            "model": model,
            "provider": provider_of(model),
            "configId": router.slug,
            "estimatedCost": {"credits": credits_of(chosen.price)},
            "resolvedSettings": {"optimizeFor": aim, "priceCeiling": ceiling},
            "resolvedInput": _resolved(modality, given, chosen.candidate),
        }
        if fallback is not None:
            routing["capacityFallback"] = fallback
            pipeline.append({"type": "capacity", **fallback})
        if asked.body.get("dryRun") is True:
            return Answer(status=200, body={"routing": routing})
        answer = await self._creation.create(
            chosen.candidate.operation, chosen.candidate.body, asked.digest, asked.settings, asked.plan
        )
        made = answer.status == 200
        self._record(
            asked,
            router,
            status="routed" if made else "error",
            model=model,
            provider=provider_of(model),
            taskId=answer.task_id,
            estimatedCredits=credits_of(chosen.price),
            reasonCode=reason,
            reason=f"{model} of {len(ordered)} eligible models.",
            pipeline=[*pipeline, {"type": "rank", "outcome": outcome}],
        )
        return replace(answer, body={"id": answer.task_id, "routing": routing}) if made else answer

    async def _filtered(
        self, modality: Modality, given: Mapping[str, Json], router: Router, asked: Asked
    ) -> tuple[list[Priced], list[dict[str, Json]]]:
        """Returns the candidates that pass all filters, and who passed each, up to one that nobody does."""
        faults: list[set[Filter]] = []
        prices: dict[int, int] = {}
        best = _best(candidates(modality, given))
        ceiling = inside(router.settings, "maxCreditsPerGeneration").get(modality)
        for index, (candidate, found) in enumerate(best):
            if not found:
                price = await self._creation.priced(candidate.operation, candidate.body, asked.settings)
                # What the body's rules let pass, the media's own may not.
                found = {"input_support"} if price is None else found
                prices[index] = price or 0
            if not allowed(router.settings, candidate.model):
                found.add("allow_deny")
            count = max(1, number_in(candidate.body, "outputCount", 1))
            if isinstance(ceiling, int | float) and prices.get(index, 0) > ceiling * count * MILLI:
                found.add("price")
            faults.append(found)
        left = list(range(len(best)))
        pipeline: list[dict[str, Json]] = []
        for each in FILTERS:
            left = [index for index in left if each not in faults[index]]
            pipeline.append({"type": "filter", "filter": each, "models": [best[index][0].model for index in left]})
            if not left:
                break
        return [Priced(best[index][0], prices[index]) for index in left], pipeline

    def _with_capacity(
        self, ordered: Sequence[Priced], settings: Mapping[str, Json], now: float
    ) -> tuple[Priced, dict[str, Json] | None]:
        """Returns who is chosen; where the router falls back, the best that is not at its limit of tasks at once."""
        if inside(settings, "fallback").get("onCapacity") is not True:
            return ordered[0], None
        free = [index for index, each in enumerate(ordered) if not self._books.at_limit(each.candidate.model, now)]
        if free[:1] == [0]:
            return ordered[0], None
        skipped: list[Json] = [each.candidate.model for each in ordered[: free[0] if free else 0]]
        return ordered[free[0] if free else 0], {"skipped": skipped, "allExhausted": not free}

    def _record(self, asked: Asked, router: Router | None, **details: Json) -> None:
        if router is None or asked.body.get("dryRun") is True:
            return
        usual: dict[str, Json] = {
            "requestId": secrets.token_urlsafe(11),
            **dict.fromkeys(("model", "provider", "taskId", "estimatedCredits", "reasonCode", "reason")),
            "emptiedBy": [],
            "pipeline": [],
        }
        routing = Routing(id=str(uuid.uuid4()), created_at=asked.now, router_id=router.id, details={**usual, **details})
        self._shelves.routings.put(routing, asked.now)


def _best(found: Iterable[Candidate]) -> list[tuple[Candidate, set[Filter]]]:
    """Returns the candidates with what they fail, of each model the one that fails least."""
    best: dict[str, tuple[Candidate, set[Filter]]] = {}
    for candidate in found:
        failed = stages(candidate)
        if candidate.model not in best or len(failed) < len(best[candidate.model][1]):
            best[candidate.model] = (candidate, failed)
    return list(best.values())


def _resolved(modality: Modality, given: Mapping[str, Json], chosen: Candidate) -> dict[str, Json]:
    """Returns what the router took for granted where the request left it open."""
    ratio = word_in(chosen.body, "ratio")
    match modality:
        case "video":
            seconds = number_in(chosen.body, "duration") or default_duration(chosen.operation, chosen.model) or 5
            pixels = ratio if pixels_of(ratio) else "1280:720"
            return {"duration": seconds, "ratio": pixels, "resolution": word_in(given, "resolution", "720p")}
        case "image":
            return {
                "aspectRatio": word_in(given, "aspectRatio", "1:1"),
                "ratio": ratio or "auto",
                "resolution": word_in(given, "resolution", "1k"),
            }
        case "audio":
            speech = given.get("type") == "speech"
            voice = word_in(inside(given, "voice"), "type", "default" if speech else "none")
            return {"type": given["type"], "voice": voice}
