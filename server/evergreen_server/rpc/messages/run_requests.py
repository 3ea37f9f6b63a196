"""Reads requests about runs of films into values; what is right or wrong about those is decided elsewhere."""

import hashlib

from evergreen.v1 import film_pb2, video_pb2
from evergreen_server.film.digests import Redo
from evergreen_server.film.model import OnShotFailure
from evergreen_server.film.running.calls import ApproveRequest, ExportRequest, StartRequest
from evergreen_server.film.runs.deciding import FilmGate, FilmStage
from evergreen_server.film.runs.run import Terms
from evergreen_server.jobs.model.states import OnUnknownSubmission
from evergreen_server.ports.specs import FieldError
from evergreen_server.rpc.messages.film_requests import Reader
from evergreen_server.rpc.messages.requests import read_on_unknown, read_time


def read_start_request(message: film_pb2.StartFilmRequest) -> StartRequest:
    """Returns what a message says; `unread` names what is no value of ours. Never raises."""
    reader = Reader()
    gates = [
        reader.enum(FilmGate, video_pb2.FilmGate, gate, f"gates[{number}]") for number, gate in enumerate(message.gates)
    ]
    reader.errors += [
        FieldError(field=f"gates[{number}]", description=f"must be one of {', '.join(FilmGate)}")
        for number, gate in enumerate(message.gates)
        if not gate
    ]
    on_unknown = read_on_unknown(message.on_unknown_submission)
    finish_by = read_time(message.finish_by, "finish_by") if message.HasField("finish_by") else None
    reader.errors += [value for value in (on_unknown, finish_by) if isinstance(value, FieldError)]
    terms = Terms(
        redo=reader.enum(Redo, film_pb2.FilmRedo, message.redo, "redo") or Redo.CHANGED,
        gates=frozenset(gate for gate in gates if gate is not None),
        on_failure=_on_failure(reader, message.on_shot_failure) or OnShotFailure.ASK,
        max_attempts=message.max_attempts or 1,
        on_unknown_submission=OnUnknownSubmission.ASK if isinstance(on_unknown, FieldError) else on_unknown,
        priority=message.priority,
        stop_after=reader.enum(FilmStage, video_pb2.FilmStage, message.stop_after, "stop_after"),
    )
    return StartRequest(
        project_id=message.project_id,
        film_id=message.film_id,
        request_id=message.request_id,
        digest=hashlib.sha256(b"StartFilm:" + message.SerializeToString(deterministic=True)).hexdigest(),
        plan_revision=message.plan_revision,
        max_credits=message.max_credits if message.HasField("max_credits") else None,
        terms=terms,
        finish_by=None if isinstance(finish_by, FieldError) else finish_by,
        unread=reader.errors,
    )


def read_export_request(message: film_pb2.ExportFilmRequest) -> ExportRequest:
    """Returns what a message says; `unread` names what is no value of ours. Never raises."""
    reader = Reader()
    profiles = [reader.profile(profile, f"profiles[{number}]") for number, profile in enumerate(message.profiles)]
    return ExportRequest(
        project_id=message.project_id,
        film_id=message.film_id,
        request_id=message.request_id,
        digest=hashlib.sha256(b"ExportFilm:" + message.SerializeToString(deterministic=True)).hexdigest(),
        plan_revision=message.plan_revision,
        profiles=profiles,
        missing=reader.enum(OnShotFailure, film_pb2.OnShotFailure, message.missing, "missing"),
        unread=reader.errors,
    )


def read_approve_request(message: film_pb2.ApproveFilmRequest) -> ApproveRequest:
    """Returns what a message says. Never raises."""
    return ApproveRequest(
        project_id=message.project_id,
        film_id=message.film_id,
        run=message.run,
        plan_revision=message.plan_revision,
        max_credits=message.max_credits if message.HasField("max_credits") else None,
        revision=message.revision,
    )


def _on_failure(reader: Reader, number: int) -> OnShotFailure | None:
    return reader.enum(OnShotFailure, film_pb2.OnShotFailure, number, "on_shot_failure")
