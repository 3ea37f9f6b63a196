"""How far a film is, as lists, answers and events tell it."""

from dataclasses import asdict
from typing import Final

from evergreen.v1 import video_pb2
from evergreen_server.film.model import OutputKind
from evergreen_server.film.runs.films import Film
from evergreen_server.film.runs.run import FilmRun, RunKind, RunState
from evergreen_server.film.runs.tally import Tally
from evergreen_server.rpc.messages.values import credits_of, set_time

MOST_TROUBLES: Final = 20
MOST_WARNINGS: Final = 100
_OF_JOBS: Final = 0.9
"""The share that jobs have in a run that goes on to the cut."""


def listed_status(film: Film) -> video_pb2.FilmStatus:
    """Returns the status of a film with its newest run, without what lists have no room for."""
    message = video_pb2.FilmStatus()
    _fill(message, film)
    return message


def fill_status(message: video_pb2.FilmStatus, film: Film) -> None:
    """Sets all fields of an empty message."""
    _fill(message, film)
    if film.run is not None:
        _add_reports(message, film.run)
    for export in film.exports:
        message.exports.add(
            asset=export.asset,
            content_type="video/mp4",
            size_bytes=export.size_bytes,
            crc32c=export.crc32c,
            width=export.width,
            height=export.height,
            duration_seconds=export.seconds,
        )


def _fill(message: video_pb2.FilmStatus, film: Film) -> None:
    message.project_id = film.project_id
    message.film_id = film.film_id
    message.state = video_pb2.FilmState.Value(f"FILM_STATE_{film.state.value}")
    message.plan_revision = film.plan_revision
    set_time(message.update_time, film.updated_at)
    if film.run is not None:
        _add_run(message, film.run)


def _add_run(message: video_pb2.FilmStatus, run: FilmRun) -> None:
    message.run, message.revision, message.trouble_count = run.run, run.revision, len(run.troubles)
    message.run_kind = video_pb2.FilmRunKind.Value(f"FILM_RUN_KIND_{run.kind.value}")
    message.stage = video_pb2.FilmStage.Value(f"FILM_STAGE_{run.stage.value}")
    message.progress = _progress(run)
    if run.gate is not None:
        message.gate = video_pb2.FilmGate.Value(f"FILM_GATE_{run.gate.value}")
    _add_counts(message, run.tally)
    message.max_credits = credits_of(run.money.approved)
    message.reserved_credits = credits_of(run.money.held + run.money.reserved)
    message.spent_credits = credits_of(run.money.spent)
    if run.error is not None:
        message.error.reason, message.error.message = run.error.reason, run.error.message
    if run.ended_at is not None:
        set_time(message.end_time, run.ended_at)


def _add_reports(message: video_pb2.FilmStatus, run: FilmRun) -> None:
    for trouble in run.troubles[:MOST_TROUBLES]:
        error = video_pb2.JobError(reason=trouble.reason, message=trouble.message)
        message.troubles.add(shot_id=trouble.item_id, output=trouble.output, job_id=trouble.job_id, error=error)
    for warning in run.warnings[:MOST_WARNINGS]:
        message.warnings.add(code=warning.code, message=warning.message)


def _add_counts(message: video_pb2.FilmStatus, tally: Tally) -> None:
    counted = {
        OutputKind.PICTURE: message.images,
        OutputKind.SPEECH: message.speech,
        OutputKind.CLIP: message.clips,
    }
    for kind, count in tally.counts.items():
        counted[kind].CopyFrom(video_pb2.FilmCounts(**asdict(count)))


def _progress(run: FilmRun) -> float:
    if run.state is RunState.SUCCEEDED:
        return 1.0
    if run.terms.stop_after is not None:
        return run.tally.share
    rendered = run.frames_done / run.frames if run.frames else 0.0
    if run.kind is RunKind.EXPORT:
        return rendered
    return _OF_JOBS * run.tally.share + (1.0 - _OF_JOBS) * rendered
