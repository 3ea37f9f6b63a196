"""What a caller changes in a plan by hand: a list of edits, of which all are made or none."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from evergreen_server.film.model import Actor, OutputKind, Plan, PlannedLine, PlannedScene, PlannedShot, output_key
from evergreen_server.film.models import models_of
from evergreen_server.film.numbering import numbered
from evergreen_server.film.planning.choices import settings_of
from evergreen_server.film.planning.edits import (
    DeleteScene,
    Edit,
    EditActor,
    EditSettings,
    InsertScene,
    MoveScene,
    RedoShot,
    ReplaceScene,
    ReplaceShot,
    UseAsset,
)
from evergreen_server.film.planning.faults import faults_of, surveyed
from evergreen_server.film.planning.filling import filled, retimed_to
from evergreen_server.film.planning.matching import scene_ids
from evergreen_server.film.planning.plan import Planned, changes_of
from evergreen_server.film.screenplay.cast import name_key
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_storage.keys import id_error, path_error

__all__ = [
    "DeleteScene", "Edit", "EditActor", "EditSettings", "InsertScene", "MoveScene", "RedoShot", "ReplaceScene",
    "ReplaceShot", "UseAsset", "edit",
]  # fmt: skip


MAX_EDITS: Final = 100
"""Edits of one call."""
_FOLDERS: Final = {OutputKind.PICTURE: "images/", OutputKind.CLIP: "videos/", OutputKind.SPEECH: "audio/"}


def edit(plan: Plan, edits: Sequence[Edit], table: ModelTable) -> Planned:
    """Returns the plan after all edits, one after the other. Raises InvalidRequest with every fault, at `edits[…].…`.

    From 1 to 100 edits. Only the plan after the last one must fit its models, so that a model that has left the table
    can be replaced.
    """
    if not 1 <= len(edits) <= MAX_EDITS:
        raise InvalidRequest([FieldError(field="edits", description=f"1 to {MAX_EDITS} edits at once.")])
    editor = _Editor(plan)
    for index, one in enumerate(edits):
        editor.apply(one, f"edits[{index}]")
    after = editor.plan
    try:
        models = models_of(after.settings, table)
    except InvalidRequest as exc:
        raise InvalidRequest([*editor.faults, *map(editor.located, exc.field_errors)]) from None
    if editor.faults:
        raise InvalidRequest(editor.faults)
    if found := faults_of(after, models):
        raise InvalidRequest([editor.located(fault) for fault in found])
    return Planned(plan=after, changes=changes_of(plan, after), warnings=surveyed(after, models))


class _Editor:
    """Makes edits one after the other, and remembers which one each scene, actor and setting came from."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.faults: list[FieldError] = []
        self._origins: dict[str, str] = {}
        """By scene id, shot id, key of an actor's name, `settings` or `settings.{name}`, the field of the edit."""

    def apply(self, one: Edit, at: str) -> None:
        match one:
            case EditSettings():
                self._edit_settings(one, f"{at}.settings")
            case InsertScene():
                self._insert(one, at)
            case ReplaceScene():
                self._replace(one.scene, f"{at}.replace_scene")
            case DeleteScene():
                self._delete(one.scene_id, f"{at}.delete_scene_id")
            case MoveScene():
                self._move(one, at)
            case ReplaceShot():
                self._replace_shot(one.shot, f"{at}.replace_shot")
            case RedoShot():
                self._redo(one, f"{at}.redo")
            case UseAsset():
                self._use(one, f"{at}.use_asset")
            case EditActor():
                self._edit_actor(one.actor, f"{at}.cast")
            case _:
                assert_never(one)

    def located(self, fault: FieldError) -> FieldError:
        """Returns a fault of the plan at the edit that brought it."""
        parts = fault.field.split(".")
        place = re.fullmatch(r"(scenes|cast)\[(\d+)\]", parts[0])
        if place is None:
            at = self._origins.get(fault.field, self._origins.get(parts[0]))
            return replace(fault, field=".".join((at, *parts[1:]))) if at else self._somewhere(fault)
        if place[1] == "cast":
            at = self._origins.get(name_key(self.plan.cast[int(place[2])].name))
            return replace(fault, field=".".join((at, *parts[1:]))) if at else self._somewhere(fault)
        scene = self.plan.scenes[int(place[2])]
        if at := self._origins.get(scene.scene_id):
            return replace(fault, field=".".join((at, *parts[1:])))
        shot = re.fullmatch(r"shots\[(\d+)\]", parts[1]) if len(parts) > 1 else None
        if shot is not None and (at := self._origins.get(scene.shots[int(shot[1])].shot_id)):
            return replace(fault, field=".".join((at, *parts[2:])))
        return self._somewhere(fault)

    def _somewhere(self, fault: FieldError) -> FieldError:
        """Returns a fault of what no edit named: one of the settings is at fault, or all edits are together."""
        at = self._origins.get("settings", "edits")
        return FieldError(field=at, description=f"{fault.field}: {fault.description}")

    def _fault(self, field: str, text: str) -> None:
        self.faults.append(FieldError(field=field, description=text))

    def _edit_settings(self, one: EditSettings, at: str) -> None:
        try:
            settings = settings_of(one.settings, before=self.plan)
        except InvalidRequest as exc:
            self.faults += [replace(error, field=error.field.replace("settings", at, 1)) for error in exc.field_errors]
            return
        retimed = settings.timing is not self.plan.settings.timing
        self.plan = replace(self.plan, settings=settings)
        self._origins |= dict.fromkeys(("settings", *(f"settings.{name}" for name in one.settings)), at)
        if retimed:
            self.plan = replace(self.plan, scenes=tuple(retimed_to(scene, settings) for scene in self.plan.scenes))

    def _insert(self, one: InsertScene, at: str) -> None:
        field = f"{at}.insert_scene"
        if (
            one.scene.scene_id
            or any(shot.shot_id for shot in one.scene.shots)
            or any(line.line_id for line in one.scene.lines)
        ):
            self._fault(field, "A new scene, its shots and lines have no ids; they are given to them.")
        place = self._after(one.after_id, f"{at}.after_id")
        if place is None:
            return
        ids, used = scene_ids((None,), (), prefix=self.plan.settings.scene_prefix, used=self.plan.numbers_used)
        scene = replace(_plain(one.scene), scene_id=ids[0], script_line=0, script_digest="", shots_digest="")
        self._origins[ids[0]] = field
        self._put([*self.plan.scenes[:place], filled(scene, self.plan.settings), *self.plan.scenes[place:]], used=used)

    def _replace(self, scene: PlannedScene, at: str) -> None:
        index = self._find(scene.scene_id, f"{at}.scene_id")
        if index is None:
            return
        old = self.plan.scenes[index]
        shots = {shot.shot_id: shot for shot in old.shots}
        lines = {line.line_id: line for line in old.lines}
        for number, shot in enumerate(scene.shots):
            if shot.shot_id and shot.shot_id not in shots:
                self._fault(f"{at}.shots[{number}].shot_id", f"{old.scene_id} has no shot {shot.shot_id[:100]}.")
        for number, line in enumerate(scene.lines):
            if line.line_id and line.line_id not in lines:
                self._fault(f"{at}.lines[{number}].line_id", f"{old.scene_id} has no line {line.line_id[:100]}.")
        scene = replace(
            scene,
            script_line=old.script_line,
            script_digest=old.script_digest,
            shots_digest=old.shots_digest,
            lines=tuple(
                replace(line, script_digest=lines[line.line_id].script_digest if line.line_id in lines else "")
                for line in scene.lines
            ),
        )
        self._origins[scene.scene_id] = at
        self._put([*self.plan.scenes[:index], filled(scene, self.plan.settings), *self.plan.scenes[index + 1 :]])

    def _delete(self, scene_id: str, at: str) -> None:
        index = self._find(scene_id, at)
        if index is None:
            return
        digest = self.plan.scenes[index].script_digest
        if digest:
            self.plan = replace(self.plan, deleted=tuple(dict.fromkeys((*self.plan.deleted, digest))))
        self._put([*self.plan.scenes[:index], *self.plan.scenes[index + 1 :]])

    def _move(self, one: MoveScene, at: str) -> None:
        index = self._find(one.scene_id, f"{at}.move_scene.scene_id")
        place = self._after(one.after_id, f"{at}.after_id")
        if index is None or place is None:
            return
        if one.after_id == one.scene_id:
            self._fault(f"{at}.after_id", "A scene cannot come after itself.")
            return
        scenes = list(self.plan.scenes)
        scene = scenes.pop(index)
        scenes.insert(place - (index < place), scene)
        self._put(scenes)

    def _replace_shot(self, shot: PlannedShot, at: str) -> None:
        for index, scene in enumerate(self.plan.scenes):
            for place, old in enumerate(scene.shots):
                if old.shot_id == shot.shot_id:
                    shots = (*scene.shots[:place], shot, *scene.shots[place + 1 :])
                    self._origins[shot.shot_id] = at
                    scene = filled(replace(scene, shots=shots), self.plan.settings)
                    self._put([*self.plan.scenes[:index], scene, *self.plan.scenes[index + 1 :]])
                    return
        self._fault(f"{at}.shot_id", f"The film has no shot {shot.shot_id[:100]!r}.")

    def _redo(self, one: RedoShot, at: str) -> None:
        if (key := self._output(one.item_id, one.output, at)) is None:
            return
        chosen = {name: file for name, file in self.plan.chosen.items() if name != key}
        redone = {**self.plan.redone, key: self.plan.redone.get(key, 0) + 1}
        self.plan = replace(self.plan, chosen=chosen, redone=redone)

    def _use(self, one: UseAsset, at: str) -> None:
        key = self._output(one.item_id, one.output, at)
        if text := id_error("scene", one.scene_id):
            self._fault(f"{at}.scene_id", f"{text}.")
        if text := path_error(one.asset):
            self._fault(f"{at}.asset", f"{text}.")
        elif not one.asset.startswith(_FOLDERS[one.output]):
            self._fault(f"{at}.asset", f"A file in {_FOLDERS[one.output]} of its scene.")
        if key is not None:
            self.plan = replace(self.plan, chosen={**self.plan.chosen, key: (one.scene_id, one.asset)})

    def _edit_actor(self, actor: Actor, at: str) -> None:
        key = name_key(actor.name)
        self._origins[key] = at
        others = [name_key(one.name) for one in self.plan.cast]
        cast = list(self.plan.cast)
        if key in others:
            # Shots name the actor as before.
            cast[others.index(key)] = replace(actor, name=cast[others.index(key)].name)
        else:
            cast.append(actor)
        self.plan = replace(self.plan, cast=tuple(cast))

    def _output(self, item_id: str, output: OutputKind, at: str) -> str | None:
        """Returns the key of an output that the film has; None, and a fault, where it has none."""
        items = self.plan.lines() if output is OutputKind.SPEECH else self.plan.shots()
        if item_id in {item.line_id if isinstance(item, PlannedLine) else item.shot_id for _, item in items}:
            return output_key(item_id, output)
        what = "spoken line" if output is OutputKind.SPEECH else "shot"
        self._fault(f"{at}.shot_id", f"The film has no {what} {item_id[:100]!r}, which a {output} is of.")
        return None

    def _find(self, scene_id: str, at: str) -> int | None:
        index = next((index for index, scene in enumerate(self.plan.scenes) if scene.scene_id == scene_id), None)
        if index is None:
            self._fault(at, f"The film has no scene {scene_id[:100]!r}.")
        return index

    def _after(self, scene_id: str, at: str) -> int | None:
        """Returns the place after a scene, the first one for no scene; None, and a fault, where there is none such."""
        if not scene_id:
            return 0
        index = self._find(scene_id, at)
        return None if index is None else index + 1

    def _put(self, scenes: Sequence[PlannedScene], *, used: int | None = None) -> None:
        numbers = self.plan.numbers_used if used is None else used
        self.plan = numbered(replace(self.plan, scenes=tuple(scenes), numbers_used=numbers))


def _plain(scene: PlannedScene) -> PlannedScene:
    """Returns a scene without the ids of its shots and lines, and without what only scripts know of lines."""
    return replace(
        scene,
        shots=tuple(replace(shot, shot_id="") for shot in scene.shots),
        lines=tuple(replace(line, line_id="", script_digest="") for line in scene.lines),
    )
