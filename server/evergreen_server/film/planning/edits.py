"""What a caller may change in a plan by hand, one thing at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from evergreen_server.film.model import Actor, OutputKind, PlannedScene, PlannedShot

__all__ = [
    "DeleteScene", "Edit", "EditActor", "EditSettings", "InsertScene", "MoveScene", "RedoShot", "ReplaceScene",
    "ReplaceShot", "UseAsset",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSettings:
    """Sets what is given, by the contract's field names, and leaves all else; see `choices.settings_of`."""

    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertScene:
    """Adds a scene after another one, or as the first. Its ids are given to it: those in `scene` must be empty."""

    scene: PlannedScene
    after_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceScene:
    """Puts a scene in place of the one of its id. Shots and lines with an id go on; those without one get a new one."""

    scene: PlannedScene


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteScene:
    scene_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveScene:
    """Puts a scene after another one, or to the front."""

    scene_id: str
    after_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceShot:
    shot: PlannedShot


@dataclass(frozen=True, slots=True, kw_only=True)
class RedoShot:
    """Asks for an output of a shot, or the speech of a line, to be made anew; a file chosen for it is put back."""

    item_id: str
    output: OutputKind


@dataclass(frozen=True, slots=True, kw_only=True)
class UseAsset:
    """Puts a file of any scene in place of an output."""

    item_id: str
    output: OutputKind
    scene_id: str
    asset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditActor:
    """Adds an actor, or replaces the one of the same name."""

    actor: Actor


Edit: TypeAlias = (
    EditSettings | InsertScene | ReplaceScene | DeleteScene | MoveScene | ReplaceShot | RedoShot | UseAsset | EditActor
)
