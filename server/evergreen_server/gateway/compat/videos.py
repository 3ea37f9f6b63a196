"""A job as OpenAI's videos are written, and a request for one read."""

from collections.abc import Mapping
from datetime import UTC, datetime

import grpc
from google.rpc import error_details_pb2

from evergreen.v1 import video_pb2
from evergreen_server.gateway.compat.jobs import ENDED, percent_of
from evergreen_server.gateway.problems import Fault, refused

__all__ = ["error_of", "job_id_of", "poll_milliseconds", "video_of"]

PREFIX = "video_"
POLL_LEAST, POLL_MOST, POLL_USUAL = 500, 5000, 1000
QUEUED, SUCCEEDED = video_pb2.JOB_STATE_QUEUED, video_pb2.JOB_STATE_SUCCEEDED
TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
PARAMETERS: Mapping[str, str] = {
    "prompt_text": "prompt",
    "duration_seconds": "seconds",
    "ratio": "size",
    "project_id": "OpenAI-Project",
    "request_id": "Idempotency-Key",
    "page_size": "limit",
}


def video_of(job: video_pb2.Job) -> dict[str, object]:
    """Returns a job as a video."""
    ended = job.state in ENDED or job.state == SUCCEEDED
    request = job.request
    return {
        "id": f"{PREFIX}{job.job_id}",
        "object": "video",
        "created_at": job.create_time.seconds,
        "completed_at": job.end_time.seconds if job.state == SUCCEEDED else None,
        "expires_at": None,
        "status": _status_of(job),
        "progress": percent_of(job),
        "model": request.model or job.generate_request.model,
        "prompt": request.prompt_text or None,
        "seconds": str(request.duration_seconds) if request.HasField("duration_seconds") else "",
        "size": request.ratio.replace(":", "x"),
        "error": _failure(job) if ended and job.state != SUCCEEDED else None,
        "remixed_from_video_id": None,
        "evergreen": {
            "jobId": job.job_id,
            "state": video_pb2.JobState.Name(job.state),
            "stage": video_pb2.JobStage.Name(job.stage),
            "projectId": job.project_id,
            "sceneId": job.scene_id,
        },
    }


def job_id_of(video_id: str) -> str:
    """Returns the job of a video. Raises Refused."""
    if not video_id.startswith(PREFIX):
        raise refused(
            grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND", message=f"there is no such video; ids begin with {PREFIX}"
        )
    return video_id.removeprefix(PREFIX)


def poll_milliseconds(job: video_pb2.Job, now: datetime) -> int:
    """Returns when to ask for a job again: about when it will have ended, half a second to five."""
    if not job.HasField("estimated_end_time"):
        return POLL_USUAL
    left = (job.estimated_end_time.ToDatetime(UTC) - now).total_seconds()
    return int(max(POLL_LEAST, min(POLL_MOST, left * 1000)))


def error_of(fault: Fault) -> dict[str, object]:
    """Returns a fault as OpenAI's errors are written."""
    bad = error_details_pb2.BadRequest()
    field = bad.field_violations[0].field if fault.detail(bad) and bad.field_violations else ""
    param = "input_reference" if field.startswith("media") else PARAMETERS.get(field, field)
    kind = "server_error" if fault.http >= 500 else TYPES.get(fault.http, "invalid_request_error")
    return {"error": {"message": fault.message, "type": kind, "param": param or None, "code": fault.reason or None}}


def _status_of(job: video_pb2.Job) -> str:
    if job.state == SUCCEEDED:
        return "completed"
    if job.state in ENDED:
        return "failed"
    # One that needs attention too: as failed, a caller would pay again.
    return "queued" if job.state == QUEUED else "in_progress"


def _failure(job: video_pb2.Job) -> dict[str, object]:
    if job.HasField("error"):
        return {"code": job.error.reason, "message": job.error.message}
    return {"code": "CANCELLED", "message": "the video was cancelled"}
