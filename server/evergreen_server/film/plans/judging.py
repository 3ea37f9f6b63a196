"""From a request to the plan that it asks for, or to everything that is wrong with it. Pure; up to a second of work."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from evergreen_server.film.composing.compose import File
from evergreen_server.film.errors import ScriptRefused
from evergreen_server.film.model import Actor, Plan
from evergreen_server.film.models import models_of
from evergreen_server.film.planning.choices import cast_of, settings_of
from evergreen_server.film.planning.editing import EditActor, EditSettings, UseAsset, edit
from evergreen_server.film.planning.plan import Planned, plan_film
from evergreen_server.film.plans.calls import EditRequest, PlanRequest, edit_errors, plan_errors
from evergreen_server.film.plans.taken import is_scene_of
from evergreen_server.film.screenplay.reading import read_script
from evergreen_server.film.screenplay.script import Header, InvalidScript, ScriptFormat
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.specs import FieldError, InvalidRequest

__all__ = ["field_of", "judge_edits", "judge_script", "script_name"]

T = TypeVar("T")

_ENDINGS: Final = {ScriptFormat.FOUNTAIN: "fountain", ScriptFormat.MARKDOWN: "md"}


def script_name(script: str, form: ScriptFormat, after: int = 0) -> str:
    """Returns the name of a script's file, which its content decides, and the revision of the plan that it came after.

    So no plan brings a name back that an earlier one had: a call may be removing that file just now.
    """
    digest, later = hashlib.sha256(script.encode()).hexdigest()[:8], f"-{after}" if after else ""
    return f"script-{digest}{later}.{_ENDINGS.get(form, 'txt')}"


def judge_script(request: PlanRequest, before: Plan | None, table: ModelTable) -> Planned:
    """Returns the plan of a script. Raises InvalidRequest; ScriptRefused, if the script has faults too."""
    faults = _Faults(plan_errors(request))
    script = faults.of(lambda: read_script(request.script, request.format))
    settings = faults.of(lambda: settings_of(request.settings, script, before))
    cast = faults.of(lambda: cast_of(request.cast, script.header if script else Header(), before))
    models = faults.of(lambda: models_of(settings, table)) if settings else None
    if settings and (text := _prefix_error(settings.scene_prefix, request.film_id, before)):
        faults.errors.append(FieldError(field="settings.scene_prefix", description=text))
    faults.check()
    assert script is not None
    assert settings is not None
    assert cast is not None
    assert models is not None
    asset = _script_asset(request, script.format, before)
    planned = faults.of(
        lambda: plan_film(script, settings, cast, models, film_id=request.film_id, script_asset=asset, before=before)
    )
    faults.check()
    assert planned is not None
    return planned


def _script_asset(request: PlanRequest, form: ScriptFormat, before: Plan | None) -> str:
    """Returns the path of a script: that of the plan before if it has the same."""
    prefix, _, ending = script_name(request.script, form).partition(".")
    present = before.script_asset if before else ""
    if present.startswith(f"metadata/{prefix}") and present.endswith(f".{ending}"):
        return present
    return f"metadata/{script_name(request.script, form, request.plan_revision)}"


def judge_edits(request: EditRequest, before: Plan, table: ModelTable) -> Planned:
    """Returns the plan after the edits. Raises InvalidRequest."""
    if errors := list(edit_errors(request)):
        raise InvalidRequest(errors)
    planned = edit(before, request.edits, table)
    if text := _prefix_error(planned.plan.settings.scene_prefix, request.film_id, before):
        number = max(number for number, each in enumerate(request.edits) if isinstance(each, EditSettings))
        raise InvalidRequest([FieldError(field=f"edits[{number}].settings.scene_prefix", description=text)])
    return planned


def field_of(request: PlanRequest | EditRequest, place: File) -> str:
    """Returns the field of a request that names a file: of several edits the last; `script` where none does."""
    scene_id, asset = place
    if isinstance(request, PlanRequest):
        fields = (
            f"cast[{number}].{field}" for number, actor in enumerate(request.cast) for field in _named(actor, asset)
        )
        return next(fields, "settings.music" if asset == request.settings.get("music") else "script")
    for number, each in reversed(list(enumerate(request.edits))):
        match each:
            case UseAsset() if (each.scene_id, each.asset) == place:
                return f"edits[{number}].use_asset.asset"
            case EditSettings() if scene_id == request.film_id and asset == each.settings.get("music"):
                return f"edits[{number}].settings.music"
            case EditActor() if scene_id == request.film_id and (field := next(_named(each.actor, asset), "")):
                return f"edits[{number}].cast.{field}"
            case _:
                pass
    return "edits"


def _named(actor: Actor, asset: str) -> Iterator[str]:
    """Yields the fields of a cast member that name a file."""
    yield from (f"assets[{number}]" for number, image in enumerate(actor.images) if image == asset)
    if actor.voice_asset == asset:
        yield "voice_asset"


def _prefix_error(prefix: str, film_id: str, before: Plan | None) -> str:
    if before is not None and prefix != before.settings.scene_prefix:
        return f"it is {before.settings.scene_prefix!r} since the first plan, and cannot be changed"
    if is_scene_of(prefix, film_id):
        return f"one of the scenes would be {film_id!r}, which is the film's own folder; choose another prefix"
    return ""


class _Faults:
    """What several steps find wrong, so that all of it is told at once."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = list(errors)
        self._script: InvalidScript | None = None

    def of(self, step: Callable[[], T]) -> T | None:
        """Returns what a step returns, None if it finds something wrong."""
        try:
            return step()
        except InvalidRequest as exc:
            self.errors += exc.field_errors
        except InvalidScript as exc:
            self._script = exc
        return None

    def check(self) -> None:
        """Raises ScriptRefused or InvalidRequest if anything is wrong."""
        if self._script is not None:
            named = [FieldError(field="script", description=str(fault)) for fault in self._script.faults]
            raise ScriptRefused([*named, *self.errors], self._script.count)
        if self.errors:
            raise InvalidRequest(self.errors)
