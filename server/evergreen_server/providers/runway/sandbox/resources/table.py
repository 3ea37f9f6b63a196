"""The rows of all calls about resources."""

from collections.abc import Sequence

from evergreen_server.providers.runway.sandbox.generation.assets import Assets
from evergreen_server.providers.runway.sandbox.generation.creation import Creation
from evergreen_server.providers.runway.sandbox.http.faults import Script
from evergreen_server.providers.runway.sandbox.http.routes import Route
from evergreen_server.providers.runway.sandbox.http.tasks import Tasks
from evergreen_server.providers.runway.sandbox.resources.avatars import Avatars
from evergreen_server.providers.runway.sandbox.resources.bodies import Media
from evergreen_server.providers.runway.sandbox.resources.conversations import Conversations
from evergreen_server.providers.runway.sandbox.resources.documents import Documents
from evergreen_server.providers.runway.sandbox.resources.previews import Previews
from evergreen_server.providers.runway.sandbox.resources.realtime import Realtime
from evergreen_server.providers.runway.sandbox.resources.routing.routed import Routed
from evergreen_server.providers.runway.sandbox.resources.routing.routers import Routers
from evergreen_server.providers.runway.sandbox.resources.shelves import Shelves
from evergreen_server.providers.runway.sandbox.resources.voices import Voices
from evergreen_server.providers.runway.sandbox.resources.webapp import Webapp
from evergreen_server.providers.runway.sandbox.resources.workflows import Workflows
from evergreen_server.providers.runway.sandbox.state.books import Books

__all__ = ["resource_routes"]


def resource_routes(
    *,
    shelves: Shelves,
    books: Books,
    assets: Assets,
    previews: Previews,
    tasks: Tasks,
    creation: Creation,
    creates: Sequence[Route],
    script: Script,
) -> list[Route]:
    """Returns the rows; `creates` are those of the calls that create a task, which workflows make too."""
    media = Media(assets=assets, books=books)
    handlers = {route.operation: route.handler for route in creates}
    groups = (
        Voices(shelves=shelves, media=media, previews=previews),
        Avatars(shelves=shelves, media=media, previews=previews),
        Documents(shelves=shelves, previews=previews),
        Realtime(shelves=shelves, books=books),
        Conversations(shelves=shelves, previews=previews),
        Routers(shelves=shelves),
        Routed(shelves=shelves, books=books, media=media, creation=creation),
        Workflows(shelves=shelves, books=books, tasks=tasks, creates=handlers, script=script),
        Webapp(shelves=shelves),
    )
    return [route for group in groups for route in group.routes()]
