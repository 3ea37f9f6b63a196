"""Who may call what: one table from method to right, and the gate that stands before every method.

    AccessError
      TokenRequired   no token came
      TokenInvalid    the token is none of ours, or is no longer
      AccessDenied    the token lacks a right, or a project
      AccessChanged   the token was given less while it was in use; to be judged again, call again

What belongs to another project looks like what does not exist, where a call names it. Where a call names a project
as a whole, the refusal depends on the token alone, and so tells nothing about the project either.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from hashlib import sha256
from typing import Protocol

from evergreen_storage import SceneNotFound

BEARER = "bearer "


class AccessError(Exception):
    """The caller may not do this."""


class TokenRequired(AccessError):
    """No token came with the call."""


class TokenInvalid(AccessError):
    """The token is not, or no longer, in the tokens file."""


class AccessDenied(AccessError):
    """The token lacks what the call needs. `missing` names it."""

    def __init__(self, message: str, *, reason: str, missing: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.missing = missing


class AccessChanged(AccessError):
    """The token was given less than it had when the stream was opened."""


class Right(StrEnum):
    """What a token may do in its projects. None includes another, but for `write`; see `Caller.guarded`."""

    READ = "read"
    WRITE = "write"
    APPROVE = "approve"
    """Have films spend."""
    ADMIN = "admin"
    """Resolve unknown submissions, manage webhooks, and see the account and the audit."""


class Scope(Enum):
    """How a method's request says which project it is about."""

    PROJECT = auto()
    """It has a project_id, which the gate checks; if it is empty, the method decides."""
    THING = auto()
    """It names a job, a scene or a film: the method treats those of other projects as unknown."""
    STREAM = auto()
    """Its first message names it, which the method reads and checks."""
    ALL = auto()
    """It has a project_id, and if that is empty it concerns all projects."""
    NONE = auto()
    """It concerns no project."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a method requires: a right, or with None any token; with `open` not even a token."""

    right: Right | None = None
    scope: Scope = Scope.NONE
    open: bool = False


RULES: Mapping[str, Rule] = {
    "evergreen.v1.VideoService.GenerateVideo": Rule(Right.WRITE, Scope.PROJECT),
    "evergreen.v1.VideoService.Generate": Rule(Right.WRITE, Scope.PROJECT),
    "evergreen.v1.VideoService.GetStatus": Rule(Right.READ, Scope.THING),
    "evergreen.v1.VideoService.WatchProgress": Rule(Right.READ, Scope.PROJECT),
    "evergreen.v1.VideoService.CancelVideo": Rule(Right.WRITE, Scope.THING),
    "evergreen.v1.VideoService.ListVideos": Rule(Right.READ, Scope.PROJECT),
    "evergreen.v1.VideoService.ResolveSubmission": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.VideoService.ListModels": Rule(Right.READ),
    "evergreen.v1.VideoService.GetAccount": Rule(Right.ADMIN, Scope.ALL),
    # Lists the caller's projects and no other.
    "evergreen.v1.VideoService.ListProjects": Rule(Right.READ),
    # Of itself alone, so that a token without the right of a call can say which it lacks.
    "evergreen.v1.VideoService.GetCaller": Rule(),
    "evergreen.v1.SceneService.CreateScene": Rule(Right.WRITE, Scope.PROJECT),
    "evergreen.v1.SceneService.GetScene": Rule(Right.READ, Scope.THING),
    "evergreen.v1.SceneService.ListScenes": Rule(Right.READ, Scope.PROJECT),
    "evergreen.v1.SceneService.DeleteScene": Rule(Right.WRITE, Scope.THING),
    "evergreen.v1.SceneService.UploadAsset": Rule(Right.WRITE, Scope.STREAM),
    "evergreen.v1.SceneService.DownloadAsset": Rule(Right.READ, Scope.THING),
    "evergreen.v1.SceneService.DeleteAsset": Rule(Right.WRITE, Scope.THING),
    "evergreen.v1.SceneService.GetAssetUrl": Rule(Right.READ, Scope.THING),
    "evergreen.v1.FilmService.PlanFilm": Rule(Right.WRITE, Scope.PROJECT),
    "evergreen.v1.FilmService.EditFilm": Rule(Right.WRITE, Scope.THING),
    "evergreen.v1.FilmService.GetFilm": Rule(Right.READ, Scope.THING),
    "evergreen.v1.FilmService.ListFilms": Rule(Right.READ, Scope.PROJECT),
    "evergreen.v1.FilmService.StartFilm": Rule(Right.APPROVE, Scope.THING),
    "evergreen.v1.FilmService.ApproveFilm": Rule(Right.APPROVE, Scope.THING),
    "evergreen.v1.FilmService.ExportFilm": Rule(Right.WRITE, Scope.THING),
    "evergreen.v1.FilmService.CancelFilm": Rule(Right.WRITE, Scope.THING),
    "evergreen.v1.FilmService.DeleteFilm": Rule(Right.WRITE, Scope.THING),
    "evergreen.v1.WebhookService.CreateWebhook": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.WebhookService.GetWebhook": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.WebhookService.ListWebhooks": Rule(Right.ADMIN, Scope.PROJECT),
    "evergreen.v1.WebhookService.UpdateWebhook": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.WebhookService.DeleteWebhook": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.WebhookService.RotateSecret": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.WebhookService.SendTest": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.WebhookService.ListDeliveries": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.WebhookService.Redeliver": Rule(Right.ADMIN, Scope.THING),
    "evergreen.v1.AuditService.ListAuditEntries": Rule(Right.ADMIN, Scope.ALL),
    # The contract is public, but unknown callers should make the server do as little as possible.
    "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo": Rule(),
    # Load balancers and supervisors ask, and have no token.
    "grpc.health.v1.Health.Check": Rule(open=True),
    "grpc.health.v1.Health.List": Rule(open=True),
    "grpc.health.v1.Health.Watch": Rule(open=True),
}
"""By the method's full name. A method that is not listed is refused to every token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A caller: a token as the tokens file describes it. `projects` is None for all."""

    name: str
    projects: frozenset[str] | None
    rights: frozenset[Right]
    digest: bytes = field(repr=False)
    guarded: frozenset[str] = frozenset()
    """Those of its projects for which a token names `approve`, so that `write` does not include it there."""

    def may(self, right: Right, project_id: str | None = None) -> bool:
        """Returns whether the caller has a right: in a project, or in some of those that it sees."""
        if right is Right.APPROVE and Right.WRITE in self.rights and project_id not in self.guarded:
            return True
        return right in self.rights

    def sees(self, project_id: str) -> bool:
        """Returns whether a project is one of the caller's."""
        return self.projects is None or project_id in self.projects

    def check_project(self, project_id: str) -> None:
        """Raises AccessDenied for a project that is not the caller's, whether it exists or not."""
        if not self.sees(project_id):
            text = f"the token is not for the project {project_id!r}"
            raise AccessDenied(text, reason="PROJECT_DENIED", missing=project_id)

    def check_scene(self, project_id: str, scene_id: str) -> None:
        """Raises SceneNotFound for a scene of a project that is not the caller's."""
        if not self.sees(project_id):
            raise SceneNotFound(project_id, scene_id)

    def owner(self, project_id: str) -> str:
        """Returns the owner of a shared place: the caller, or the project if callers are not known."""
        return self.name or project_id

    def covers(self, other: "Caller") -> bool:
        """Returns whether this caller may do everything that the other may."""
        projects = self.projects is None or (other.projects is not None and self.projects >= other.projects)
        return projects and self.rights >= other.rights


ANYONE = Caller(name="", projects=None, rights=frozenset(Right), digest=b"")
"""The caller if no tokens are required."""

Callers = Mapping[bytes, Caller]
"""By the SHA-256 of their token: with a lookup by digest, the bytes of a token are never compared."""


class Call(Protocol):
    """The part of a call that identifies its caller."""

    def invocation_metadata(self) -> "Iterable[tuple[str, str | bytes]] | None": ...


class Access:
    """The current callers; None if everybody may do everything. Used on one loop."""

    def __init__(self, callers: Callers | None) -> None:
        self._callers = callers
        self._streams: dict[Caller, set[asyncio.Timeout]] = {}

    def replace(self, callers: Callers) -> None:
        """Replaces the callers, and ends the streams of those that may do less than when they opened them."""
        self._callers = callers
        now = asyncio.get_running_loop().time()
        for caller, bounds in self._streams.items():
            still = callers.get(caller.digest)
            if still is None or not still.covers(caller):
                for bound in bounds:
                    bound.reschedule(now)
                # Each ends by itself from here on, and must not be rescheduled again.
                bounds.clear()

    def identify(self, call: Call) -> Caller:
        """Returns the caller of a call. Raises TokenRequired, TokenInvalid."""
        if self._callers is None:
            return ANYONE
        for name, value in call.invocation_metadata() or ():
            if name == "authorization":
                if isinstance(value, str) and value[: len(BEARER)].lower() == BEARER:
                    caller = self._callers.get(sha256(value[len(BEARER) :].encode()).digest())
                    if caller is not None:
                        return caller
                raise TokenInvalid("the token is not known here; the metadata must be 'authorization: Bearer TOKEN'")
        raise TokenRequired("a token is required, in the metadata as 'authorization: Bearer TOKEN'")

    @asynccontextmanager
    async def held(self, caller: Caller) -> AsyncIterator[None]:
        """Ends a stream as soon as its caller's access is reduced. Raises TokenInvalid, AccessChanged."""
        if caller is ANYONE:
            yield
            return
        bound = asyncio.timeout(None)
        try:
            async with bound:
                self._streams.setdefault(caller, set()).add(bound)
                try:
                    yield
                finally:
                    bounds = self._streams.get(caller, set())
                    bounds.discard(bound)
                    if not bounds:
                        self._streams.pop(caller, None)
        except TimeoutError:
            if not bound.expired():
                raise
            if self._callers is None or caller.digest not in self._callers:
                raise TokenInvalid("the token was revoked") from None
            raise AccessChanged("the token's rights or projects were reduced; call again") from None


class Gate:
    """Checks the calls of one method."""

    def __init__(self, access: Access, method: str) -> None:
        self._access = access
        self.method = method
        self._rule = RULES.get(method)
        self.held = access.held

    def identify(self, call: Call) -> Caller:
        """Returns the caller, anyone where no token is needed. Raises TokenRequired, TokenInvalid."""
        return ANYONE if self._rule is not None and self._rule.open else self._access.identify(call)

    def admit(self, caller: Caller) -> None:
        """Raises AccessDenied, before the request is read, for a caller that lacks the right."""
        rule = self._rule
        if caller is ANYONE:
            return
        if rule is None:
            text = f"no token is for {self.method}"
            raise AccessDenied(text, reason="RIGHT_REQUIRED", missing="a rule of this server for the method")
        if rule.right is not None and not caller.may(rule.right):
            raise _lacks(rule.right)

    def check(self, caller: Caller, message: object) -> None:
        """Raises AccessDenied for a project that is not the caller's, or in which it may not approve."""
        if self._rule is not None and self._rule.right is Right.APPROVE:
            project_id = getattr(message, "project_id")  # noqa: B009 - every request that needs this right has one
            if not caller.may(Right.APPROVE, project_id):
                raise _lacks(Right.APPROVE)
        if caller.projects is None or self._rule is None or self._rule.scope not in (Scope.PROJECT, Scope.ALL):
            return
        project_id = getattr(message, "project_id")  # noqa: B009 - every request of these scopes has one
        if project_id:
            caller.check_project(project_id)
        elif self._rule.scope is Scope.ALL:
            raise AccessDenied("the token is not for all projects", reason="PROJECT_DENIED", missing="*")


def _lacks(right: Right) -> AccessDenied:
    return AccessDenied(f"the token lacks the right {right.value!r}", reason="RIGHT_REQUIRED", missing=right.value)
