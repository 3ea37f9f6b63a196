"""Model routers: how routed generation chooses among models, and the log of what they chose."""

import uuid
from collections.abc import Mapping
from dataclasses import replace

from evergreen_server.providers.runway.catalog.models import CLIPS, Issue, Json, Operation, model_names
from evergreen_server.providers.runway.catalog.rules import Flag, OneOf, Rule, Text, Whole, custom
from evergreen_server.providers.runway.catalog.shapes import Items, Object
from evergreen_server.providers.runway.sandbox.http.answers import Answer, refusal
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.resources.bodies import (
    Nullable,
    Rules,
    body_issues,
    no_resource,
    refused,
    text_of,
)
from evergreen_server.providers.runway.sandbox.resources.queries import Query, page
from evergreen_server.providers.runway.sandbox.resources.records import Router, Routing
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.state.clock import timestamp

__all__ = ["NEW", "SLUG", "Routers"]

SLUG = Text(64, pattern="[a-z][a-z0-9_-]{0,63}")

_CAP = Whole(1)
_MODELS_MOST = 500
"""More than there are; a bound that the provider does not publish."""
_MODELS: Rules = {"mode": OneOf(("allow_new_except", "allowlist_only")), "ids": Items(Text(), _MODELS_MOST)}


def _settings(caps: Rule, *, whole: bool) -> Object:
    return Object(
        {
            "schemaVersion": OneOf((1,)),
            "models": Object(_MODELS, frozenset(_MODELS) if whole else frozenset()),
            "maxCreditsPerGeneration": caps,
            "optimizeFor": OneOf(("cost", "latency", "quality")),
            "fallback": Object({"onCapacity": Flag()}),
        }
    )


_CAPS = Object(dict.fromkeys(("video", "image", "audio"), _CAP))
_FEWER_CAPS = Nullable(Object({kind: Nullable(_CAP) for kind in ("video", "image", "audio")}))
_ABOUT: Rules = {"name": Text(255), "description": Text(2000, 0)}
NEW = Object({**_ABOUT, "slug": SLUG, "settings": _settings(_CAPS, whole=True)}, frozenset({"slug"}), closed=False)
_CHANGE = Object(
    {
        "name": Text(255),
        "description": Nullable(Text(2000, 0)),
        "settings": _settings(_FEWER_CAPS, whole=False),
    },
    closed=False,
)


class Routers:
    """Answers /v1/routers."""

    def __init__(self, *, shelves: Shelves) -> None:
        self._shelves = shelves

    def routes(self) -> list[Route]:
        many, one = "/v1/routers", "/v1/routers/{id}"
        return [
            Route(operation="list_routers", method="GET", path=many, handler=self._list),
            Route(operation="create_router", method="POST", path=many, handler=self._create),
            Route(operation="get_router", method="GET", path=one, handler=self._get),
            Route(operation="update_router", method="PATCH", path=one, handler=self._update),
            Route(operation="delete_router", method="DELETE", path=one, handler=self._delete),
            Route(operation="list_router_requests", method="GET", path=f"{one}/requests", handler=self._requests),
        ]

    async def _list(self, asked: Asked) -> Answer:
        return page(Query(asked.query), self._shelves.routers.all(), _shown, number=self._shelves.routers.number)

    async def _create(self, asked: Asked) -> Answer:
        body = asked.body
        if issues := [*body_issues(NEW, asked), *_unknown_models(body)]:
            return refused(issues)
        slug = str(body["slug"])
        if any(router.slug == slug for router in self._shelves.routers.all()):
            return refusal(409, f"A router with the slug {slug} already exists.")
        router = Router(
            id=str(uuid.uuid4()),
            created_at=asked.now,
            updated_at=asked.now,
            slug=slug,
            name=text_of(body, "name") or slug,
            description=text_of(body, "description"),
            settings={"optimizeFor": "cost", **_object(body.get("settings")), "schemaVersion": 1},
        )
        self._shelves.routers.put(router, asked.now)
        return Answer(status=200, body=_shown(router))

    async def _get(self, asked: Asked) -> Answer:
        router = self._shelves.routers.get(asked.parts["id"])
        return no_resource("Router") if router is None else Answer(status=200, body=_shown(router))

    async def _update(self, asked: Asked) -> Answer:
        router, body = self._shelves.routers.get(asked.parts["id"]), asked.body
        if router is None:
            return no_resource("Router")
        if issues := [*body_issues(_CHANGE, asked), *_unknown_models(body)]:
            return refused(issues)
        settings = _merged(router.settings, _object(body.get("settings")))
        if models := _object(settings.get("models")):
            issues = list(Object(_MODELS, frozenset(_MODELS)).issues(dict(models), ("settings", "models")))
            if issues:
                return refused(issues)
        changed = replace(
            router,
            updated_at=asked.now,
            name=text_of(body, "name") or router.name,
            description=text_of(body, "description") if "description" in body else router.description,
            settings=settings,
            version=router.version + (settings != router.settings),
        )
        self._shelves.routers.put(changed, asked.now)
        return Answer(status=200, body=_shown(changed))

    async def _delete(self, asked: Asked) -> Answer:
        router = self._shelves.routers.get(asked.parts["id"])
        if router is None:
            return no_resource("Router")
        self._shelves.routers.remove(router.id, asked.now)
        return Answer(status=204)

    async def _requests(self, asked: Asked) -> Answer:
        router = self._shelves.routers.get(asked.parts["id"])
        if router is None:
            return no_resource("Router")
        found = [routing for routing in self._shelves.routings.all() if routing.router_id == router.id]
        return page(Query(asked.query), found, _decision, number=self._shelves.routings.number)


def _shown(router: Router) -> dict[str, Json]:
    return {
        "id": router.id,
        "slug": router.slug,
        "name": router.name,
        "description": router.description,
        "version": router.version,
        "settings": dict(router.settings),
        "createdAt": timestamp(router.created_at),
        "updatedAt": timestamp(router.updated_at),
    }


def _decision(routing: Routing) -> dict[str, Json]:
    return {"id": routing.id, "createdAt": timestamp(routing.created_at), **routing.details}


def _merged(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str, Json]:
    """Returns settings with changes, member by member; null removes a member."""
    merged = dict(old)
    for name, value in new.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _merged(_object(merged.get(name)), value)
        else:
            merged[name] = value
    return merged


def _unknown_models(body: Mapping[str, Json]) -> list[Issue]:
    ids, known = _object(_object(body.get("settings")).get("models")).get("ids"), _known_models()
    return [
        custom(("settings", "models", "ids", index), f"Unknown model: {name[:64]}")
        for index, name in enumerate(ids[:_MODELS_MOST] if isinstance(ids, list) else [])
        if isinstance(name, str) and name not in known
    ]


def _known_models() -> set[str]:
    """Returns the models that a router may choose from."""
    made = (*CLIPS, Operation.TEXT_TO_IMAGE, Operation.TEXT_TO_SPEECH, Operation.SOUND_EFFECT)
    return {name for operation in made for name in model_names(operation)}


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}
