"""How what is said over a socket is written."""

import json
from collections.abc import Mapping
from typing import Protocol

from evergreen.v1.video_pb2 import GetCallerResponse
from evergreen_server.gateway.live.frames import FRAME_BYTES, MOST_JOBS, Frame, read_document, read_frame
from evergreen_server.gateway.live.items import Item
from evergreen_server.gateway.problems import Fault, problem_members

__all__ = ["FRAMES_PER_SECOND", "HEARTBEAT_SECONDS", "MOST_PROJECTS", "Plain", "Speech"]

MOST_PROJECTS = 200
HEARTBEAT_SECONDS = 15
FRAMES_PER_SECOND = 20


class Speech(Protocol):
    """Reads and writes frames; what there is no frame for is None."""

    def document(self, data: bytes) -> dict[str, object]:
        """Parses what came as far as its type. Raises Refused for what nobody can make sense of."""

    def frame(self, document: Mapping[str, object]) -> Frame:
        """Returns what a document says. Raises Refused."""

    def welcome(self, caller: GetCallerResponse) -> bytes | None: ...

    def pong(self) -> bytes | None: ...

    def item(self, item: Item) -> bytes | None: ...

    def error(self, about: Mapping[str, object], fault: Fault, request_id: str) -> bytes | None: ...


class Plain:
    """Speaks as docs/http.md says."""

    def document(self, data: bytes) -> dict[str, object]:
        return read_document(data)

    def frame(self, document: Mapping[str, object]) -> Frame:
        return read_frame(document)

    def welcome(self, caller: GetCallerResponse) -> bytes | None:
        limits = {
            "projects": MOST_PROJECTS,
            "jobsOfProject": MOST_JOBS,
            "frameBytes": FRAME_BYTES,
            "framesPerSecond": FRAMES_PER_SECOND,
        }
        return _json(
            {
                "type": "welcome",
                "heartbeatSeconds": HEARTBEAT_SECONDS,
                "version": caller.version,
                "name": caller.name,
                "limits": limits,
            }
        )

    def pong(self) -> bytes | None:
        return _json({"type": "pong"})

    def item(self, item: Item) -> bytes | None:
        return item.data

    def error(self, about: Mapping[str, object], fault: Fault, request_id: str) -> bytes | None:
        return _json({"type": "error", "about": about, "problem": problem_members(fault, request_id)})


def _json(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
