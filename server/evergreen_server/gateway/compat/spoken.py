"""The socket of the first endpoints: single jobs, in four kinds of messages."""

import json
from collections.abc import Mapping

from google.protobuf import json_format

from evergreen.v1 import video_pb2
from evergreen_server.gateway.compat.jobs import clip_of, error_of, percent_of, status_of
from evergreen_server.gateway.live.frames import Frame, Hello, Ping, Subscribe, Unsubscribe, kinds_of, read_frame
from evergreen_server.gateway.live.items import FILM, Item
from evergreen_server.gateway.messages import read_object
from evergreen_server.gateway.problems import Fault, invalid
from evergreen_server.gateway.visitors import malformed

__all__ = ["PATH", "FirstSpeech"]

PATH = "/api/videos/socket"
TYPES = ("hello", "subscribe_job", "unsubscribe_job", "ping")


class FirstSpeech:
    """Speaks as the first endpoints do: `video_generation_started`, `_progress`, `_completed` and `_failed`."""

    def document(self, data: bytes) -> dict[str, object]:
        document = read_object(data)
        if document.get("type") not in TYPES:
            raise malformed(f"type must be one of {', '.join(TYPES)}")
        return document

    def frame(self, document: Mapping[str, object]) -> Frame:
        if document["type"] in ("hello", "ping"):
            frame = read_frame(document)
            assert isinstance(frame, Hello | Ping)
            return frame
        if unknown := sorted(document.keys() - {"type", "jobId"}):
            raise invalid(unknown[0][:100], "is not supported here")
        job_id = document.get("jobId")
        if not isinstance(job_id, str) or not job_id:
            raise invalid("jobId", "must be the id of a job")
        if document["type"] == "unsubscribe_job":
            return Unsubscribe(project_id="", job_ids=[job_id], film_ids=())
        return Subscribe(
            project_id="", job_ids=[job_id], film_ids=(), after=None, include_finished=False, kinds=kinds_of([])
        )

    def welcome(self, caller: video_pb2.GetCallerResponse) -> bytes | None:
        return None

    def pong(self) -> bytes | None:
        return _json({"type": "pong"})

    def item(self, item: Item) -> bytes | None:
        if not item.subject or item.kind == FILM:
            return None
        job = json_format.ParseDict(json.loads(item.data)["job"], video_pb2.Job(), ignore_unknown_fields=True)
        status = status_of(job)
        kind = "started" if item.event == "started" else "progress" if status == "processing" else status
        return _json(
            {
                "type": f"video_generation_{kind}",
                "jobId": job.job_id,
                "projectId": job.project_id,
                "sceneId": job.scene_id,
                "progress": percent_of(job),
                "status": status,
                "videoUrl": clip_of(job),
                "error": error_of(job),
            }
        )

    def error(self, about: Mapping[str, object], fault: Fault, request_id: str) -> bytes | None:
        known = about.get("jobIds")
        job_id = about.get("jobId") or (known[0] if isinstance(known, list) and known else None)
        return _json({"type": "error", "jobId": job_id, "error": fault.message, "reason": fault.reason})


def _json(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
