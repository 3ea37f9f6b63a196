"""Reads requests about films into values; what is right or wrong about those is decided elsewhere."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

from evergreen.v1 import film_pb2
from evergreen_server.film.model import (
    Actor,
    Camera,
    FirstFrame,
    OnShotFailure,
    OutputKind,
    PlannedLine,
    PlannedScene,
    PlannedShot,
    Speech,
    Transition,
)
from evergreen_server.film.planning.editing import (
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
from evergreen_server.film.plans.calls import EditRequest, PlanRequest
from evergreen_server.film.screenplay.script import ScriptFormat, Timing, TransitionKind
from evergreen_server.ports.specs import FieldError
from evergreen_server.ports.timeline import Captions, Fit
from evergreen_server.rpc.messages.values import json_of

E = TypeVar("E", bound=StrEnum)

EDITS = tuple(field.name for field in film_pb2.FilmEdit.DESCRIPTOR.oneofs_by_name["edit"].fields)


class WireEnum(Protocol):
    """An enum of the contract."""

    def items(self) -> Sequence[tuple[str, int]]: ...


def read_plan_request(message: film_pb2.PlanFilmRequest) -> PlanRequest:
    """Returns what a message says; `unread` names what is no value of ours. Never raises."""
    reader = Reader()
    return PlanRequest(
        project_id=message.project_id,
        film_id=message.film_id,
        request_id=message.request_id,
        digest=_digest_of(message),
        script=message.script,
        format=reader.enum(ScriptFormat, film_pb2.ScriptFormat, message.format, "format"),
        settings=reader.settings(message.settings, "settings"),
        cast=[_actor(member) for member in message.cast],
        plan_revision=message.plan_revision,
        validate_only=message.validate_only,
        unread=reader.errors,
    )


def read_edit_request(message: film_pb2.EditFilmRequest) -> EditRequest:
    """Returns what a message says; `unread` names what is no value of ours. Never raises."""
    reader = Reader()
    edits = [reader.edit(edit, f"edits[{number}]") for number, edit in enumerate(message.edits)]
    return EditRequest(
        project_id=message.project_id,
        film_id=message.film_id,
        plan_revision=message.plan_revision,
        edits=[edit for edit in edits if edit is not None],
        validate_only=message.validate_only,
        unread=reader.errors,
    )


def _digest_of(message: film_pb2.PlanFilmRequest) -> str:
    """Returns the SHA-256 (hex) of the canonical request, `validate_only` left out."""
    canonical = film_pb2.PlanFilmRequest.FromString(message.SerializeToString())
    canonical.ClearField("validate_only")
    return hashlib.sha256(b"PlanFilm:" + canonical.SerializeToString(deterministic=True)).hexdigest()


class Reader:
    """Reads the parts of a message, and collects what it cannot read."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def enum(self, kind: type[E], wire: WireEnum, number: int, path: str) -> E | None:
        """Returns a value of an enum; None where it is not given, or is none of ours."""
        # As the proto rules have it, each value begins with the name of its enum.
        names = {value: name for name, value in wire.items()}
        prefix = names[0].removesuffix("UNSPECIFIED")
        name = names.get(number, "").removeprefix(prefix)
        if number and name not in kind.__members__:
            self.errors.append(FieldError(field=path, description=f"must be one of {', '.join(kind)}"))
        return kind[name] if name in kind.__members__ and number else None

    def settings(self, message: film_pb2.FilmSettings, path: str) -> dict[str, object]:
        texts = {
            name: value for field, value in message.ListFields() if isinstance(value, str) and (name := field.name)
        }
        given: dict[str, object] = {
            **texts,
            "candidates": message.candidates,
            "timing": self.enum(Timing, film_pb2.Timing, message.timing, f"{path}.timing"),
            "speech": self.enum(Speech, film_pb2.Speech, message.speech, f"{path}.speech"),
            "profiles": tuple(
                self.profile(profile, f"{path}.profiles[{number}]") for number, profile in enumerate(message.profiles)
            ),
        }
        if message.HasField("transition"):
            given["transition"] = self._transition(message.transition, f"{path}.transition")
        return given

    def profile(self, message: film_pb2.ExportProfile, path: str) -> dict[str, object]:
        return {
            "name": message.name,
            "width": message.width,
            "height": message.height,
            "fps": message.fps,
            "fit": self.enum(Fit, film_pb2.Fit, message.fit, f"{path}.fit"),
            "loudness_lufs": message.loudness_lufs,
            "captions": self.enum(Captions, film_pb2.Captions, message.captions, f"{path}.captions"),
            "crf": message.crf,
        }

    def _transition(self, message: film_pb2.Transition, path: str) -> Transition:
        kind = self.enum(TransitionKind, film_pb2.TransitionKind, message.kind, f"{path}.kind")
        return Transition(kind=kind or TransitionKind.CUT, seconds=message.seconds)

    def edit(self, message: film_pb2.FilmEdit, path: str) -> Edit | None:
        name = message.WhichOneof("edit")
        match name:
            case "settings":
                return EditSettings(settings=self.settings(message.settings, f"{path}.settings"))
            case "insert_scene":
                return InsertScene(scene=self._scene(message.insert_scene, f"{path}.{name}"), after_id=message.after_id)
            case "replace_scene":
                return ReplaceScene(scene=self._scene(message.replace_scene, f"{path}.{name}"))
            case "delete_scene_id":
                return DeleteScene(scene_id=message.delete_scene_id)
            case "move_scene":
                return MoveScene(scene_id=message.move_scene.scene_id, after_id=message.after_id)
            case "replace_shot":
                return ReplaceShot(shot=self._shot(message.replace_shot, f"{path}.{name}"))
            case "redo":
                output = self._output(message.redo.output, f"{path}.redo.output")
                return RedoShot(item_id=message.redo.shot_id, output=output) if output else None
            case "use_asset":
                used = message.use_asset
                output = self._output(used.output, f"{path}.use_asset.output")
                where = {"item_id": used.shot_id, "scene_id": used.scene_id, "asset": used.asset}
                return UseAsset(**where, output=output) if output else None
            case "cast":
                return EditActor(actor=_actor(message.cast))
            case None:
                self.errors.append(FieldError(field=path, description=f"required: one of {', '.join(EDITS)}"))
                return None

    def _output(self, name: str, path: str) -> OutputKind | None:
        if name not in list(OutputKind):
            self.errors.append(FieldError(field=path, description=f"must be one of {', '.join(OutputKind)}"))
            return None
        return OutputKind(name)

    def _scene(self, message: film_pb2.ScenePlan, path: str) -> PlannedScene:
        return PlannedScene(
            scene_id=message.scene_id,
            number=message.number,
            title=message.title,
            seconds=message.seconds if message.HasField("seconds") else None,
            lines=tuple(
                PlannedLine(line_id=line.line_id, speaker=line.speaker, text=line.text, direction=line.direction)
                for line in message.lines
            ),
            captions=tuple(message.captions),
            shots=tuple(self._shot(shot, f"{path}.shots[{number}]") for number, shot in enumerate(message.shots)),
            transition=(
                self._transition(message.transition, f"{path}.transition") if message.HasField("transition") else None
            ),
        )

    def _shot(self, message: film_pb2.ShotPlan, path: str) -> PlannedShot:
        first_frame = self.enum(FirstFrame, film_pb2.FirstFrame, message.first_frame, f"{path}.first_frame")
        return PlannedShot(
            shot_id=message.shot_id,
            picture_prompt=message.picture_prompt,
            motion_prompt=message.motion_prompt,
            seconds=message.seconds,
            cast=tuple(message.cast),
            first_frame=first_frame or FirstFrame.PICTURE,
            camera=self.enum(Camera, film_pb2.Camera, message.camera, f"{path}.camera") or Camera.UNSPECIFIED,
            seed=message.seed if message.HasField("seed") else None,
            on_failure=self.enum(OnShotFailure, film_pb2.OnShotFailure, message.on_failure, f"{path}.on_failure"),
            picture_options=json_of(message.picture_options),
            clip_options=json_of(message.clip_options),
        )


def _actor(message: film_pb2.CastMember) -> Actor:
    return Actor(
        name=message.name,
        description=message.description,
        images=tuple(message.assets),
        voice=message.voice,
        voice_asset=message.voice_asset,
    )
