"""Errors of calls about films.

FilmError
  FilmNotFound      there is no such film
  PlanNotFound      the film has no such plan, or no longer keeps it
  PlanChanged       the plan is not the one that the caller has read
  PlanDeleted       the request made a plan that is no longer kept
  FilmRequestReused the request_id belongs to another request
  FilmBusy          a run of the film is on
  OutputsMissing    an export needs outputs that are not there
  RunNotFound       the film has no such run
  RunDeleted        the request began a run that is no longer kept
  RunChanged        the run is not as the caller has read it
  TooManyFilms      the project has as many films as it may have
  SceneTaken        a scene of the film belongs to another film, or to jobs
  ScriptRefused     the script has faults; each is named with its place
"""

from collections.abc import Sequence

from evergreen_server.ports.specs import FieldError


class FilmError(Exception):
    """Something about a film is not as the caller expects."""


class FilmNotFound(FilmError):
    """No such film."""

    def __init__(self, project_id: str, film_id: str) -> None:
        super().__init__(f"there is no film {project_id}/{film_id}")
        self.project_id = project_id
        self.film_id = film_id


class PlanNotFound(FilmError):
    """The film has no such plan, or no longer keeps it."""

    def __init__(self, film_id: str, plan_revision: int) -> None:
        super().__init__(f"the film {film_id} has no plan {plan_revision}, or no longer keeps it")
        self.plan_revision = plan_revision


class PlanChanged(FilmError):
    """The plan is not the one that the call names. `present` is the one it has, 0 if there is none."""

    def __init__(self, film_id: str, *, expected: int, present: int) -> None:
        text = (
            f"the film {film_id} has the plan {present}, not {expected}" if expected else f"there is a film {film_id}"
        )
        super().__init__(f"{text}; read it, and decide again")
        self.present = present


class PlanDeleted(FilmError):
    """The request was carried out before, and the plan that it made is no longer kept."""

    def __init__(self, film_id: str, plan_revision: int) -> None:
        super().__init__(f"the request made the plan {plan_revision} of the film {film_id}, which is no longer kept")
        self.film_id = film_id


class FilmRequestReused(FilmError):
    """The request_id was used before, with another body."""

    def __init__(self, film_id: str) -> None:
        super().__init__(f"request_id was used before with another request, for the film {film_id}")
        self.film_id = film_id


class FilmBusy(FilmError):
    """A run of the film is on."""

    def __init__(self, film_id: str, state: str) -> None:
        super().__init__(f"a run of the film {film_id} is {state}; wait for it, or cancel it")
        self.film_id = film_id


class OutputsMissing(FilmError):
    """A cut needs outputs that are not there, no longer stand for the plan, or (`unusable`) were refused."""

    def __init__(self, film_id: str, named: str, *, unusable: bool = False) -> None:
        lacking = f"cannot be exported: an output of these is not there, or is stale: {named}"
        refused = f"cannot be cut with the files that these have still: {named}; change that by an edit first"
        super().__init__(f"the film {film_id} {refused if unusable else lacking}")
        self.film_id = film_id


class RunNotFound(FilmError):
    """The film has no such run."""

    def __init__(self, film_id: str, run: int) -> None:
        super().__init__(f"the film {film_id} has no run {run}")
        self.run = run


class RunDeleted(FilmError):
    """The request was carried out before, and its run is no longer kept, or was deleted with its film."""

    def __init__(self, film_id: str) -> None:
        super().__init__(f"the request began a run of the film {film_id} that is no longer kept")
        self.film_id = film_id


class RunChanged(FilmError):
    """The run is not as the caller has read it. `revision` is the one that it has."""

    def __init__(self, film_id: str, *, run: int, state: str, revision: int) -> None:
        super().__init__(f"run {run} of the film {film_id} is {state} by now; read it, and decide again")
        self.revision = revision


class TooManyFilms(FilmError):
    """The project has as many films as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the project has {most:,} films, and may have no more; delete some that are no longer needed")
        self.most = most


class SceneTaken(FilmError):
    """A scene that the film would have belongs to another film, or to jobs."""

    def __init__(self, scene_id: str, why: str) -> None:
        super().__init__(f"the scene {scene_id} is taken: {why}; choose another film_id or scene_prefix")
        self.scene_id = scene_id


class ScriptRefused(FilmError):
    """The script has faults. Unlike those of a request, several errors are of one field, each of one place."""

    def __init__(self, field_errors: Sequence[FieldError], count: int) -> None:
        super().__init__(f"the script has {count} faults" if count > 1 else "the script has a fault")
        self.field_errors = tuple(field_errors)
