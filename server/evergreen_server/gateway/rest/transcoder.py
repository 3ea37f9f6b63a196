"""Carries out the table's calls with one answer: a request of HTTP becomes a message, and the answer JSON."""

import time
from collections.abc import Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler
from google.protobuf.message import Message

from evergreen.v1 import video_pb2, webhook_pb2
from evergreen_server.gateway.bridge import Method, methods
from evergreen_server.gateway.messages import to_json
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.rest.accounts import Accounts
from evergreen_server.gateway.rest.calls import Calls
from evergreen_server.gateway.rest.reading import matches, message_of, tag_of_bytes
from evergreen_server.gateway.rest.routes import BINDINGS, ROOT, Binding, By
from evergreen_server.gateway.visitors import visitor_of

__all__ = ["Rest"]

ACCOUNT_SECONDS = 25.0
"""Less than those wait who share the answer."""
CREATED: Mapping[type[Message], tuple[str, str, str]] = {
    video_pb2.GenerateVideoResponse: ("job", "videos", "job_id"),
    video_pb2.GenerateResponse: ("job", "videos", "job_id"),
    webhook_pb2.CreateWebhookResponse: ("webhook", "webhooks", "webhook_id"),
}
"""Answers that are 201 where something was made: the field that holds it, its folder, and the field of its id."""


class Rest:
    """The handlers of all calls with one answer under `/api/v1`. Used on one loop."""

    def __init__(self, *, calls: Calls, places: Places) -> None:
        self._calls = calls
        self._places = places
        self._accounts = Accounts(time.monotonic)

    def routes(self) -> Iterable[web.RouteDef]:
        """Returns a route for each binding."""
        known = methods()
        for binding in BINDINGS:
            if binding.by is By.CALL:
                yield web.route(binding.verb, binding.route(), self._handler(binding, known[binding.method]))

    def _handler(self, binding: Binding, method: Method) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            message = await message_of(request, binding, method.request, self._places)
            answer = await self._answer(request, method, message)
            response = web.Response(body=to_json(answer), headers={"Content-Type": "application/json"})
            if type(answer) in CREATED:
                _locate(answer, response)
            if binding.in_query and (token := getattr(answer, "next_page_token", "")):
                following = request.rel_url.without_query_params("page_token").update_query(pageToken=token)
                response.headers["Link"] = f'<{following}>; rel="next"'
            return _tagged(request, response) if binding.tagged else response

        return handle

    async def _answer(self, request: web.Request, method: Method, message: Message) -> Message:
        visitor = visitor_of(request)
        if isinstance(message, video_pb2.GetAccountRequest):
            account = video_pb2.GetAccountResponse
            return await self._accounts.of(
                visitor.owner,
                message.project_id,
                lambda: self._calls.ask(visitor, method.path, message, account, seconds=ACCOUNT_SECONDS),
            )
        return await self._calls.ask(visitor, method.path, message, method.response)


def _locate(answer: Message, response: web.Response) -> None:
    """Says where what was made is, and whether it is new. A quote makes nothing."""
    made = {field.name: value for field, value in answer.ListFields()}
    held, folder, identified = CREATED[type(answer)]
    if held in made:
        response.headers["Location"] = f"{ROOT}/{folder}/{getattr(made[held], identified)}"
        response.set_status(200 if made.get("known") else 201)


def _tagged(request: web.Request, response: web.Response) -> web.Response:
    """Returns an answer with the digest of its body: places and estimates change without a revision."""
    assert isinstance(response.body, bytes)
    tag = tag_of_bytes(response.body)
    if matches(request, tag):
        response = web.Response(status=304)
    response.headers.update({"ETag": tag, "Cache-Control": "private, no-cache"})
    return response
