"""From a script to a plan, and from a new script to the next plan of the same film."""

from collections.abc import Sequence
from dataclasses import dataclass

from evergreen_server.film.choices import FilmModels
from evergreen_server.film.model import Actor, FilmSettings, FilmWarning, Plan
from evergreen_server.film.screenplay.script import Script
from evergreen_server.ports.specs import FieldError

__all__ = ["Changes", "Planned", "changes_of", "faults_of", "plan_film"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Scenes by what became of them, in the order of the film; those that are gone in the order that they had."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    plan: Plan
    changes: Changes
    warnings: tuple[FilmWarning, ...] = ()


def plan_film(
    script: Script,
    settings: FilmSettings,
    cast: Sequence[Actor],
    models: FilmModels,
    *,
    film_id: str,
    script_asset: str = "",
    before: Plan | None = None,
) -> Planned:
    """Returns the plan of a script; over the plan before, scenes, shots and lines that go on keep their ids.

    Raises InvalidScript for what the script asks too much of, InvalidRequest for what the plan breaks, each with all of
    its faults.
    """
    raise NotImplementedError


def changes_of(before: Plan | None, after: Plan) -> Changes:
    """Returns what became of the scenes from one plan to the next."""
    raise NotImplementedError


def faults_of(plan: Plan, models: FilmModels) -> list[FieldError]:
    """Returns everything that a plan breaks, by the contract's fields, such as `scenes[3].shots[0].seconds`."""
    raise NotImplementedError
