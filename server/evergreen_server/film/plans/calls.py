"""What callers ask of films, in values that nobody has checked, and what is wrong with the ids in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evergreen_server.film.model import Actor
from evergreen_server.film.planning.editing import Edit
from evergreen_server.film.screenplay.cast import name_key
from evergreen_server.film.screenplay.script import MAX_CAST, ScriptFormat
from evergreen_server.jobs.intake import REQUEST_ID
from evergreen_server.ports.specs import FieldError
from evergreen_storage import id_error

__all__ = ["EditRequest", "PlanRequest", "edit_errors", "id_errors", "plan_errors", "request_id_errors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """A script that is to be planned. `digest` tells the request from any other under its request_id."""

    project_id: str
    film_id: str
    request_id: str
    digest: str
    script: str
    format: ScriptFormat | None = None
    """None: found out."""
    settings: Mapping[str, object]
    """As `choices.settings_of` takes them."""
    cast: Sequence[Actor] = ()
    plan_revision: int = 0
    """Of the plan that is replaced; 0: there must be none."""
    validate_only: bool = False
    unread: Sequence[FieldError] = ()
    """What an edge could not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRequest:
    """Edits of a plan."""

    project_id: str
    film_id: str
    plan_revision: int
    edits: Sequence[Edit]
    validate_only: bool = False
    unread: Sequence[FieldError] = ()
    """What an edge could not read; the edits then have gaps."""


def id_errors(project_id: str, film_id: str) -> Iterator[FieldError]:
    """Yields what is wrong with the ids that name a film."""
    if text := id_error("project", project_id):
        yield FieldError(field="project_id", description=text)
    if text := id_error("scene", film_id):
        # The words are those of a scene id, since that is what it is as well.
        yield FieldError(field="film_id", description=text.replace("the scene id", "the film id"))


def request_id_errors(request_id: str) -> Iterator[FieldError]:
    """Yields what is wrong with the id of a request."""
    if not REQUEST_ID.fullmatch(request_id):
        text = "required: 1 to 128 of the characters A-Z a-z 0-9 . _ : -"
        yield FieldError(field="request_id", description=text)


def plan_errors(request: PlanRequest) -> Iterator[FieldError]:
    """Yields what is wrong with a request but for its script, its settings and its cast."""
    yield from id_errors(request.project_id, request.film_id)
    yield from request_id_errors(request.request_id)
    if request.plan_revision < 0:
        yield FieldError(field="plan_revision", description="must be 0 for a new film, else that of its plan")
    yield from request.unread
    if len(request.cast) > MAX_CAST:
        yield FieldError(field="cast", description=f"at most {MAX_CAST}")
        return
    known: set[str] = set()
    for number, actor in enumerate(request.cast):
        key = name_key(actor.name)
        if key in known:
            yield FieldError(field=f"cast[{number}].name", description="another member of the cast has it")
        known.add(key)


def edit_errors(request: EditRequest) -> Iterator[FieldError]:
    """Yields what is wrong with a request but for what its edits say."""
    yield from id_errors(request.project_id, request.film_id)
    if request.plan_revision < 1:
        yield FieldError(field="plan_revision", description="required: the revision of the plan that was read")
    yield from request.unread
