"""`verify` of the Python client: it agrees with the official package, and says what is wrong."""

import base64
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import Message

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from evergreen import WebhookRejected
from evergreen.webhooks import verify

SECRET = "whsec_" + base64.b64encode(b"the secret of the receiver, 32 b").decode()
OTHER = "whsec_" + base64.b64encode(b"quite another one, of 32 bytes .").decode()
JOB = {"jobId": "01a2", "projectId": "film", "state": "JOB_STATE_SUCCEEDED", "revision": "27"}
BODY = json.dumps(
    {
        "type": "video.succeeded",
        "timestamp": "2026-11-29T12:54:59.067617123Z",
        "data": {"revision": "27", "job": {**JOB, "prompt": "ü", "newer": [1]}, "newer": {}},
        "newer": 1,
    },
    ensure_ascii=False,
).encode()


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it arrives."""

    body: bytes = BODY
    message_id: str = "0193-a.b"
    timestamp: str = ""
    signature: str = ""
    secret: str = SECRET

    def __post_init__(self) -> None:
        at = self.timestamp or str(int(time.time()))
        object.__setattr__(self, "timestamp", at)
        if not self.signature:
            object.__setattr__(self, "signature", self.signed_by(SECRET))

    def signed_by(self, secret: str) -> str:
        when = datetime.fromtimestamp(int(self.timestamp), UTC)
        return Webhook(secret).sign(self.message_id, when, self.body.decode())

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Webhook-Id": self.message_id,
            "webhook-timestamp": self.timestamp,
            "WEBHOOK-SIGNATURE": self.signature,
        }


def late(seconds: float) -> Request:
    return Request(timestamp=str(int(time.time() - seconds)))


def signed(change: Callable[[str], str]) -> Request:
    request = Request()
    return replace(request, signature=change(request.signature))


REQUESTS: dict[str, tuple[Callable[[], Request], bool]] = {
    "as it was sent": (lambda: Request(), True),
    "some minutes late": (lambda: late(200), True),
    "some minutes ahead": (lambda: late(-200), True),
    "too old": (lambda: late(400), False),
    "too new": (lambda: late(-400), False),
    "a secret without its prefix": (lambda: replace(Request(), secret=SECRET.removeprefix("whsec_")), True),
    "a secret without padding": (lambda: replace(Request(), secret=SECRET.rstrip("=")), True),
    "another secret": (lambda: replace(Request(), secret=OTHER), False),
    "a longer body": (lambda: replace(Request(), body=BODY + b" "), False),
    "a body that was changed": (lambda: replace(Request(), body=BODY.replace(b"SUCCEEDED", b"FAILED")), False),
    "another id": (lambda: replace(Request(), message_id="0193-a.c"), False),
    "a shorter id": (lambda: replace(Request(), message_id="0193-a"), False),
    "another time": (lambda: replace(Request(), timestamp=str(int(time.time()) + 7)), False),
    "one signature of two": (lambda: signed(lambda good: f"{Request(timestamp='1').signature} {good}"), True),
    "a version whose name is longer": (lambda: signed(lambda good: f"v1a,{good.removeprefix('v1,')}"), False),
    "another version beside it": (lambda: signed(lambda good: f"v2,AAAA {good}"), True),
    "another version alone": (lambda: signed(lambda good: good.replace("v1,", "v2,")), False),
    "a signature that was changed": (lambda: signed(lambda good: good[:-6] + "AAAA" + good[-2:]), False),
    "an empty signature beside it": (lambda: signed(lambda good: f"v1, {good}"), True),
    "an empty signature alone": (lambda: replace(Request(), signature="v1,"), False),
}


@pytest.mark.parametrize(("made", "is_good"), REQUESTS.values(), ids=REQUESTS)
def test_it_agrees_with_the_official_package(made: Callable[[], Request], is_good: bool) -> None:
    request = made()
    try:
        Webhook(request.secret).verify(request.body, request.headers)
        official = True
    except WebhookVerificationError:
        official = False
    try:
        verify(request.body, request.headers, request.secret)
        ours = True
    except WebhookRejected:
        ours = False

    assert (official, ours) == (is_good, is_good)


def test_the_event_has_its_job_and_what_orders_and_tells_repeats_apart() -> None:
    event = verify(BODY, Request().headers, SECRET)

    assert (event.type, event.message_id, event.revision) == ("video.succeeded", "0193-a.b", 27)
    assert event.time == datetime(2026, 11, 29, 12, 54, 59, 67617, UTC)
    assert event.job is not None
    assert (event.job.job_id, event.job.state, event.job.message.revision) == ("01a2", "succeeded", 27)
    assert event.film is None
    assert not event.truncated


def test_a_film_a_test_and_a_type_of_tomorrow_are_told_too() -> None:
    def told(kind: str, data: dict[str, object]) -> object:
        body = json.dumps({"type": kind, "timestamp": "2026-11-29T12:54:59Z", "data": data}).encode()
        return verify(body, Request(body=body).headers, SECRET)

    film = told(
        "film.failed", {"revision": 9, "film": {"filmId": "f", "state": "FILM_STATE_FAILED"}, "truncated": True}
    )
    ping = told("evergreen.ping", {})
    later = told("video.praised", {"revision": "10", "job": {"jobId": "j", "state": "JOB_STATE_PRAISED"}})

    assert (film.film.film_id, film.revision, film.job, film.truncated) == ("f", 9, None, True)
    assert (ping.type, ping.revision, ping.job, ping.film) == ("evergreen.ping", 0, None, None)
    assert (later.type, later.job.job_id) == ("video.praised", "j")


def test_during_a_rotation_either_secret_does_on_both_sides() -> None:
    """The service signs with both; a receiver may know the old one, the new one, or both."""
    request = Request()
    both = replace(request, signature=f"{request.signed_by(OTHER)} {request.signed_by(SECRET)}")

    for secrets in (SECRET, OTHER, [SECRET, OTHER], (OTHER, SECRET), {OTHER, SECRET}):
        assert verify(BODY, both.headers, secrets).revision == 27
    assert verify(BODY, request.headers, [OTHER, SECRET]).revision == 27
    with pytest.raises(WebhookRejected, match="no signature fits the secret"):
        verify(BODY, request.headers, [OTHER])


def test_a_flood_of_signatures_is_not_looked_through() -> None:
    """The service makes two at most; each more is work for whoever verifies, and by nobody known."""
    request = Request()
    few = replace(request, signature=" ".join(["v1,AAAA"] * 9 + [request.signature]))
    flood = replace(request, signature=" ".join(["v1,AAAA"] * 10 + [request.signature]))

    assert verify(BODY, few.headers, SECRET).revision == 27
    with pytest.raises(WebhookRejected, match="no signature fits"):
        verify(BODY, flood.headers, SECRET)


def test_bodies_and_headers_may_come_as_frameworks_give_them() -> None:
    fields = Message()
    for name, value in Request().headers.items():
        fields[name] = value

    assert verify(BODY.decode(), Request().headers, f"{SECRET}\n").revision == 27
    assert verify(bytearray(BODY), fields, SECRET).revision == 27


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"message_id": ""}, "no header webhook-id"),
        ({"signature": " "}, "no signature fits"),
        ({"timestamp": "1e9"}, "webhook-timestamp is no number of seconds"),
        ({"timestamp": "-5"}, "webhook-timestamp is no number of seconds"),
        ({"timestamp": "9" * 13}, "webhook-timestamp is no number of seconds"),
        ({"timestamp": "٣"}, "webhook-timestamp is no number of seconds"),
        ({"signature": "v1,ä"}, "no signature fits"),
        ({"signature": "v1," * 10_000}, "no signature fits"),
        ({"body": b"{}"}, "no signature fits the secret: another made it, or the body is not the one that was sent"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], told: str) -> None:
    headers = Request().headers
    request = {"body": BODY, **change}
    for name, field in (("message_id", "Webhook-Id"), ("timestamp", "webhook-timestamp")):
        headers[field] = str(request.get(name, headers[field]))
    headers["WEBHOOK-SIGNATURE"] = str(request.get("signature", headers["WEBHOOK-SIGNATURE"]))

    with pytest.raises(WebhookRejected, match=told):
        verify(request["body"], headers, SECRET)


def test_clocks_that_differ_and_fields_that_come_twice_are_said() -> None:
    old, ahead, twice = late(1000), late(-1000), Message()
    for name, value in (*Request().headers.items(), ("webhook-id", "another")):
        twice[name] = value

    with pytest.raises(WebhookRejected, match=r"signed 100\d s ago, and may be a repeat by somebody else: 300 s are"):
        verify(BODY, old.headers, SECRET)
    with pytest.raises(WebhookRejected, match="ahead of this machine's clock"):
        verify(BODY, ahead.headers, SECRET)
    with pytest.raises(WebhookRejected, match="webhook-id came twice"):
        verify(BODY, twice, SECRET)
    assert verify(BODY, old.headers, SECRET, tolerance_seconds=1100).revision == 27
    assert verify(BODY, old.headers, SECRET, now=lambda: time.time() - 1000).revision == 27


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"type": "video.failed", "data": {}}',
        b'{"type": "video.failed", "timestamp": "today", "data": {}}',
        b'{"type": "video.failed", "timestamp": "2026-11-29T12:54:59Z", "data": [1]}',
        b'{"type": "video.failed", "timestamp": "2026-11-29T12:54:59Z", "data": {"revision": "x"}}',
        b'{"type": "video.failed", "timestamp": "2026-11-29T12:54:59Z", "data": {"job": [1]}}',
        b'{"type": "video.failed", "timestamp": "2026-11-29T12:54:59Z", "data": {"job": {"jobId": 1}}}',
    ],
)
def test_what_is_signed_and_no_event_is_rejected_as_that(body: bytes) -> None:
    headers = Request().headers
    signed = f"0193-a.b.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), signed, "sha256")
    headers["WEBHOOK-SIGNATURE"] = f"v1,{base64.b64encode(digest).decode()}"

    with pytest.raises(WebhookRejected, match="is signed, but is no event"):
        verify(body, headers, SECRET)


@pytest.mark.parametrize(
    ("secrets", "error"),
    [
        ("", ValueError),
        ("whsec_", ValueError),
        ("whsec_ä", ValueError),
        ("not base64 at all!", ValueError),
        ([], ValueError),
        ([SECRET, ""], ValueError),
        ([b"bytes"], TypeError),
        ([None], TypeError),
    ],
)
def test_a_secret_that_is_none_is_the_receivers_own_fault_and_not_repeated(
    secrets: object, error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        verify(BODY, Request().headers, secrets)

    assert not isinstance(raised.value, WebhookRejected)
    assert "at all" not in str(raised.value)


def test_a_body_that_was_parsed_is_the_receivers_own_fault() -> None:
    with pytest.raises(TypeError, match="must be bytes, as they came, not dict"):
        verify(json.loads(BODY), Request().headers, SECRET)


def test_a_receiver_loads_no_grpc() -> None:
    script = "import sys; from evergreen.webhooks import verify; print('grpc' in sys.modules)"

    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "False\n"
