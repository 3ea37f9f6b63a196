"""Which project a job belongs to."""

import grpc

from evergreen.v1 import video_pb2
from evergreen_server.gateway.live.hub import Hub
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Refused, fault_of
from evergreen_server.gateway.visitors import Visitor

__all__ = ["project_of"]

STATUS = "/evergreen.v1.VideoService/GetStatus"
SECONDS = 10.0


async def project_of(hub: Hub, places: Places, visitor: Visitor, job_id: str) -> str:
    """Returns the project of a job, as far as the visitor may see it. Raises Refused."""
    asked = video_pb2.GetStatusRequest(job_id=job_id).SerializeToString()
    try:
        async with places.call(visitor.owner, SECONDS) as left:
            data = await hub.upstream.call(STATUS, asked, visitor.metadata(), left)
    except grpc.aio.AioRpcError as exc:
        raise Refused(fault_of(exc)) from None
    return video_pb2.GetStatusResponse.FromString(data).job.project_id
