"""What the bodies of resources have in common: how they are checked, and the pictures and sounds that they name."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from evergreen_server.providers.runway.catalog.models import Issue, Json
from evergreen_server.providers.runway.catalog.rules import Path, Rule, custom, unrecognized
from evergreen_server.providers.runway.catalog.shapes import Object, member_issues
from evergreen_server.providers.runway.sandbox.generation.assets import (
    Asset,
    AssetKind,
    AssetRefused,
    Assets,
    Named,
    named_in,
    on_asset_host,
)
from evergreen_server.providers.runway.sandbox.http.answers import Answer, invalid
from evergreen_server.providers.runway.sandbox.http.routes import Asked
from evergreen_server.providers.runway.sandbox.settings import Settings
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.uploads import Upload

__all__ = ["UUID", "Media", "Nullable", "Rules", "body_issues", "no_resource", "refused", "text_of"]

_STORED: Mapping[AssetKind, str] = {"image": "image/png", "video": "video/mp4", "audio": "audio/wav"}
"""Types that are taken for what was measured; which one it was no longer matters."""

_ISSUES_MOST = 1000

Rules: TypeAlias = Mapping[str, Rule]

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@dataclass(frozen=True, slots=True)
class Nullable:
    """What a rule allows, or null."""

    rule: Rule

    @property
    def expected(self) -> str:
        return self.rule.expected

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if value is not None:
            yield from self.rule.issues(value, path)

    def describe(self) -> str:
        return f"{self.rule.describe()}, or null"


class Media:
    """Takes the pictures and sounds of resources into the asset store."""

    def __init__(self, *, assets: Assets, books: Books) -> None:
        self._assets = assets
        self._books = books

    async def stored(
        self, asked: Asked, value: Mapping[str, Json], *place: str | int
    ) -> tuple[dict[str, Json], list[Issue]]:
        """Returns a checked object with all media taken in, each named as an upload of its own, and what is wrong."""
        issues: list[Issue] = []
        stored = dict(value)
        for named in named_in(value):
            taken = await self.take(asked, (*place, *named.place), named.uri, named.kind)
            if isinstance(taken, Issue):
                issues.append(taken)
                continue
            upload = Upload(
                id=secrets.token_urlsafe(24),
                filename=named.kind,
                created_at=asked.now,
                digest=taken.digest,
                content_type=_STORED[named.kind],
            )
            self._books.keep_upload(upload, asked.now)
            stored = {name: _renamed(member, named.uri, upload.uri) for name, member in stored.items()}
        return stored, issues

    async def take(self, asked: Asked, place: Path, uri: Json, kind: AssetKind) -> Asset | Issue:
        """Returns the measured asset, or why it cannot be used."""
        named = Named(place=place, uri=str(uri), kind=kind)
        try:
            return await self._assets.take(named, settings=asked.settings, uploads=self._books.uploads, now=asked.now)
        except AssetRefused as exc:
            return custom(place, str(exc))


def _renamed(value: Json, old: str, new: str) -> Json:
    match value:
        case dict():
            return {name: _renamed(member, old, new) for name, member in value.items()}
        case list():
            return [_renamed(member, old, new) for member in value]
    return new if value == old else value


def body_issues(rule: Object, asked: Asked, *, some: bool = False) -> list[Issue]:
    """Returns everything wrong with a body. Unknown members are refused as `Settings.strict` says, and by closed rules.

    With `some` the body must have at least one member that is known.
    """
    body = _exempt(dict(asked.body), asked.settings)
    assert isinstance(body, dict)
    # A list of a million mistakes is not answered with as many records.
    issues = list(islice(member_issues(rule.members, rule.required, body, ()), _ISSUES_MOST))
    unknown = [name for name in body if name not in rule.members]
    if unknown and (rule.closed or asked.settings.strict):
        issues.append(unrecognized((), unknown))
    if some and not body.keys() & rule.members.keys():
        issues.append(custom((), f"At least one of {', '.join(rule.members)} must be provided"))
    return issues


def refused(issues: Sequence[Issue]) -> Answer:
    return invalid([issue.record() for issue in issues])


def no_resource(kind: str) -> Answer:
    return Answer(status=404, body={"error": f"Could not find {kind}"})


def text_of(body: Mapping[str, Json], name: str, default: str | None = None) -> str | None:
    """Returns a checked text; null and absence give the default."""
    value = body.get(name)
    return value if isinstance(value, str) else default


def _exempt(value: Json, settings: Settings) -> Json:
    """Replaces each URL that is exempt from the rules on scheme and host, so that the other rules still apply."""
    if not settings.asset_hosts:
        return value
    match value:
        case str() if on_asset_host(value, settings):
            return "runway://asset-host"
        case dict():
            return {name: _exempt(member, settings) for name, member in value.items()}
        case list():
            return [_exempt(member, settings) for member in value]
    return value
