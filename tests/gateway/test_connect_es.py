"""Connect's own client for JavaScript, unchanged, against the gateway: three protocols, with tokens and without."""

import json
from pathlib import Path

from evergreen.v1 import video_pb2
from tests.clients.node import run_node
from tests.gateway.gateways import gateway
from tests.rpc.identities import Tokens, bearer
from tests.serving import Api, Control, request

INFO, BAD = "google.rpc.ErrorInfo", "google.rpc.BadRequest"


async def told(api: Api, token: str, job_id: str) -> list[dict[str, object]]:
    out = await run_node("gateway.js", api.http, token, job_id)
    return [json.loads(line) for line in out.splitlines()]


def wanted(models: int, denied: str) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "models": models,
            "first": video_pb2.EVENT_KIND_CREATED,
            "last": video_pb2.EVENT_KIND_SUCCEEDED,
            "unknown": f"NotFound {INFO}",
            "invalid": f"InvalidArgument {INFO} {BAD}",
            "denied": denied,
            "late": "DeadlineExceeded",
            "left": "Canceled",
        }
        for name in ("connect", "json", "grpcWeb")
    ]


async def test_it_works_by_every_protocol_with_a_token(tmp_path: Path, sandbox: Control) -> None:
    tokens = Tokens(tmp_path / "tokens")
    token = tokens.give("studio")
    async with gateway(tmp_path / "data", sandbox, EVERGREEN_TOKENS_FILE=str(tokens.path)) as api:
        me = bearer(token)
        job = (await api.video.GenerateVideo(request(), metadata=me)).job
        async for _ in api.video.WatchProgress(video_pb2.WatchProgressRequest(job_ids=[job.job_id]), metadata=me):
            pass
        models = len((await api.video.ListModels(video_pb2.ListModelsRequest(), metadata=me)).models)

        assert await told(api, token, job.job_id) == wanted(models, f"PermissionDenied {INFO}")


async def test_it_works_by_every_protocol_without_tokens(tmp_path: Path, sandbox: Control) -> None:
    async with gateway(tmp_path / "data", sandbox) as api:
        job = await api.finished((await api.generate()).job_id)
        models = len((await api.video.ListModels(video_pb2.ListModelsRequest())).models)

        assert await told(api, "", job.job_id) == wanted(models, "OK")
