"""Keys of webhooks: with which servers start. Each is a server of its own, of which a process has one at a time."""

from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from evergreen.v1 import webhook_pb2, webhook_pb2_grpc
from evergreen_server.runtime.reload import FileUnusable
from tests.rpc.test_webhooks import create, key_file, refused
from tests.serving import Control, reason_of, serving


async def test_without_a_key_nothing_is_set_up_and_the_reason_is_told(tmp_path: Path, sandbox: Control) -> None:
    async with serving(tmp_path / "data", sandbox.url) as api:
        stub = webhook_pb2_grpc.WebhookServiceStub(api.channel)
        error = await refused(stub.CreateWebhook(create()))
        assert not (await stub.ListWebhooks(webhook_pb2.ListWebhooksRequest())).webhooks

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "WEBHOOKS_OFF")
    assert "EVERGREEN_WEBHOOK_KEY_FILE" in error.details()


async def test_a_server_starts_only_with_the_key_of_its_webhooks_or_with_webhooks_off(
    tmp_path: Path, sandbox: Control
) -> None:
    data, key = tmp_path / "data", key_file(tmp_path)
    other = key_file(tmp_path)
    both = key_file(tmp_path, f"{other.read_text()}\n{key.read_text()}\n")
    async with serving(data, sandbox.url, EVERGREEN_WEBHOOK_KEY_FILE=str(key)) as api:
        stub = webhook_pb2_grpc.WebhookServiceStub(api.channel)
        made = await stub.CreateWebhook(create(request_id="r"))

    for changes in ({}, {"EVERGREEN_WEBHOOK_KEY_FILE": str(other)}):
        with pytest.raises(ExceptionGroup) as caught:
            async with serving(data, sandbox.url, **changes):
                pass
        [error] = caught.value.exceptions
        assert isinstance(error, FileUnusable)
        assert "secrets of 1 webhooks" in str(error)
        assert key.read_text() not in str(error)

    async with serving(data, sandbox.url, EVERGREEN_WEBHOOKS="off") as api:
        stub = webhook_pb2_grpc.WebhookServiceStub(api.channel)
        assert len((await stub.ListWebhooks(webhook_pb2.ListWebhooksRequest())).webhooks) == 1
    async with serving(data, sandbox.url, EVERGREEN_WEBHOOK_KEY_FILE=str(both)) as api:
        stub = webhook_pb2_grpc.WebhookServiceStub(api.channel)
        again = await stub.CreateWebhook(create(request_id="r"))
        rotated = await stub.RotateSecret(
            webhook_pb2.RotateSecretRequest(webhook_id=made.webhook.webhook_id, overlap=Duration())
        )
    async with serving(data, sandbox.url, EVERGREEN_WEBHOOK_KEY_FILE=str(other)) as api:
        stub = webhook_pb2_grpc.WebhookServiceStub(api.channel)
        last = await stub.CreateWebhook(create(request_id="r"))

    assert again.secret == made.secret
    assert last.secret == rotated.secret != made.secret
