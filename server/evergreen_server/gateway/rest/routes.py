"""The table of REST: every call of the contract by its method and path.

A path holds fields by their JSON names; `{folder}/{name}` is the field `path` of an asset. A GET or DELETE takes all
other fields from the query, everything else takes them from the body.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["ABSENT", "BINDINGS", "ROOT", "Binding", "By"]

ROOT = "/api/v1"
PROJECT = "/projects/{projectId}"
SCENE = f"{PROJECT}/scenes/{{sceneId}}"
ASSET = f"{SCENE}/assets/{{folder}}/{{name}}"
WEBHOOK = "/webhooks/{webhookId}"
FILM = f"{PROJECT}/films/{{filmId}}"
_VARIABLE = re.compile(r"\{(\w+)\}")


class By(Enum):
    """What carries a binding out: the transcoder, the files' handlers, or the streams of events."""

    CALL = "call"
    FILES = "files"
    EVENTS = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A call by HTTP. `tagged`: its answer has an ETag."""

    verb: str
    path: str
    call: str
    by: By = By.CALL
    tagged: bool = False

    @property
    def method(self) -> str:
        """Returns the path of the gRPC method."""
        return f"/evergreen.v1.{self.call}"

    @property
    def variables(self) -> Sequence[str]:
        """Returns the names within the path, in their order."""
        return _VARIABLE.findall(self.path)

    @property
    def in_query(self) -> bool:
        """Returns whether what is not in the path is in the query, and there is no body."""
        return self.verb in ("GET", "DELETE")

    def route(self) -> str:
        """Returns the path for the router, in which no name holds the colon of `:cancel`."""
        return ROOT + _VARIABLE.sub(r"{\1:[^/:]+}", self.path)


BINDINGS: Sequence[Binding] = (
    Binding(verb="POST", path=f"{PROJECT}/videos", call="VideoService/GenerateVideo"),
    Binding(verb="POST", path=f"{PROJECT}/generations", call="VideoService/Generate"),
    Binding(verb="GET", path="/videos/{jobId}", call="VideoService/GetStatus", tagged=True),
    Binding(verb="GET", path="/videos", call="VideoService/ListVideos"),
    Binding(verb="POST", path="/videos/{jobId}:cancel", call="VideoService/CancelVideo"),
    Binding(verb="POST", path="/videos/{jobId}:resolve", call="VideoService/ResolveSubmission"),
    Binding(verb="GET", path=f"{PROJECT}/events", call="VideoService/WatchProgress", by=By.EVENTS),
    Binding(verb="GET", path="/videos/{jobId}/events", call="VideoService/WatchProgress", by=By.EVENTS),
    Binding(verb="GET", path=f"{FILM}/events", call="VideoService/WatchProgress", by=By.EVENTS),
    Binding(verb="GET", path="/models", call="VideoService/ListModels"),
    Binding(verb="GET", path="/account", call="VideoService/GetAccount"),
    Binding(verb="GET", path="/projects", call="VideoService/ListProjects"),
    Binding(verb="GET", path="/caller", call="VideoService/GetCaller"),
    Binding(verb="PUT", path=SCENE, call="SceneService/CreateScene"),
    Binding(verb="GET", path=SCENE, call="SceneService/GetScene"),
    Binding(verb="GET", path=f"{PROJECT}/scenes", call="SceneService/ListScenes"),
    Binding(verb="DELETE", path=SCENE, call="SceneService/DeleteScene"),
    Binding(verb="PUT", path=ASSET, call="SceneService/UploadAsset", by=By.FILES),
    Binding(verb="GET", path=ASSET, call="SceneService/DownloadAsset", by=By.FILES),
    Binding(verb="DELETE", path=ASSET, call="SceneService/DeleteAsset"),
    Binding(verb="POST", path=f"{ASSET}:url", call="SceneService/GetAssetUrl"),
    Binding(verb="POST", path=f"{FILM}:plan", call="FilmService/PlanFilm"),
    Binding(verb="POST", path=f"{FILM}:edit", call="FilmService/EditFilm"),
    Binding(verb="GET", path=FILM, call="FilmService/GetFilm"),
    Binding(verb="GET", path=f"{PROJECT}/films", call="FilmService/ListFilms"),
    Binding(verb="POST", path=f"{FILM}:start", call="FilmService/StartFilm"),
    Binding(verb="POST", path=f"{FILM}:approve", call="FilmService/ApproveFilm"),
    Binding(verb="POST", path=f"{FILM}:export", call="FilmService/ExportFilm"),
    Binding(verb="POST", path=f"{FILM}:cancel", call="FilmService/CancelFilm"),
    Binding(verb="DELETE", path=FILM, call="FilmService/DeleteFilm"),
    Binding(verb="POST", path="/webhooks", call="WebhookService/CreateWebhook"),
    Binding(verb="GET", path=WEBHOOK, call="WebhookService/GetWebhook"),
    Binding(verb="GET", path="/webhooks", call="WebhookService/ListWebhooks"),
    Binding(verb="PATCH", path=WEBHOOK, call="WebhookService/UpdateWebhook"),
    Binding(verb="DELETE", path=WEBHOOK, call="WebhookService/DeleteWebhook"),
    Binding(verb="POST", path=f"{WEBHOOK}:rotate", call="WebhookService/RotateSecret"),
    Binding(verb="POST", path=f"{WEBHOOK}:test", call="WebhookService/SendTest"),
    Binding(verb="GET", path=f"{WEBHOOK}/deliveries", call="WebhookService/ListDeliveries"),
    Binding(verb="POST", path=f"{WEBHOOK}:redeliver", call="WebhookService/Redeliver"),
    Binding(verb="GET", path="/audit", call="AuditService/ListAuditEntries"),
)
ABSENT: Mapping[str, str] = {}
"""Methods that have no binding, each with the reason."""
