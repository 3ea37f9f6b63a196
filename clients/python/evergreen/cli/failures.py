"""Errors as they are told: to people in sentences with what to do, to programs as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

import click

from evergreen.cli.exits import ExitCode
from evergreen.cli.output import plain

if TYPE_CHECKING:
    from evergreen.cli.session import Session
    from evergreen.errors import CallError, EvergreenError

_NEVER_SENT = (
    *("failed to connect", "connection refused", "dns resolution", "handshake", "hostname verification"),
    "no address",
)
"""What gRPC says, among other things, where no connection was made and so nothing was sent."""

_OPTIONS = {
    "media": "--image, --media",
    "prompt_text": "--prompt",
    "image.prompt_text": "--prompt",
    "sound.prompt_text": "--prompt",
    "speech.text": "--text",
    "duration_seconds": "--duration",
    "sound.duration_seconds": "--seconds",
    "project_id": "--project",
    "scene_id": "--scene",
    "max_credits": "--max-credits",
    "max_attempts": "--max-attempts",
    "request_id": "--request-id",
    "ratio": "--ratio",
    "resolution": "--resolution",
    "priority": "--priority",
    "start_by": "--start-by",
    "finish_by": "--finish-by",
    "model": "--model",
    "seed": "--seed",
    "labels": "--label",
    "url": "URL",
    "filter.project_ids": "--project",
    "filter.types": "--type",
    "filter.labels": "--label",
    "description": "--description",
}


class Failure(click.ClickException):
    """An error of a call: each field error of the request on its own line, and what to do."""

    exit_code = ExitCode.ERROR

    def __init__(self, error: EvergreenError, *, session: Session) -> None:
        from evergreen.errors import CallError

        self.details: dict[str, object] = {}
        lines = [plain(str(error))]
        if isinstance(error, CallError):
            self.details = _details(error)
            lines = _lines(error, session)
        super().__init__("\n".join(lines))


def show(error: click.ClickException, *, as_json: bool, file: IO[str] | None = None) -> None:
    """Writes an error to stderr."""
    stream = file or sys.stderr
    if as_json:
        told = {"message": error.format_message(), "exit_code": int(error.exit_code), **getattr(error, "details", {})}
        click.echo(json.dumps({"error": told}, ensure_ascii=False), file=stream)
    elif isinstance(error, click.UsageError):
        error.show(stream)
    else:
        click.echo(f"Error: {error.format_message()}", file=stream)


def surely_not_sent(error: BaseException) -> bool:
    """Returns whether an error says that no connection was made, so that nothing can have been accepted."""
    details = _grpc_text(error)
    return any(sign in details for sign in _NEVER_SENT)


def unreachable(error: BaseException, session: Session) -> str:
    """Returns one sentence about a service that does not answer, with the option that may help."""
    details, at = _grpc_text(error), session.endpoint
    if "certificate_verify_failed" in details or "certificate verify failed" in details:
        return f"{at} has a certificate that is not trusted here: name its authority, --tls-ca FILE"
    if "hostname verification" in details:
        return f"{at} has a certificate for another name: --endpoint must have the name that it is for"
    if "wrong_version_number" in details:
        return f"{at} does not use TLS: leave out --tls and --tls-ca"
    if "handshake" in details or "ssl_error" in details:
        return f"no TLS connection to {at} could be made: see --tls-ca, --tls-client-cert and --tls-client-key"
    if "dns resolution" in details or "name resolution" in details:
        return f"there is no machine {at.rpartition(':')[0]!r}: look at --endpoint"
    if session.tls or session.tls_ca:
        return f"no service answers at {at}: is it the right address, and does it use TLS?"
    if "socket closed" in details or "connection reset" in details or "stream removed" in details:
        return f"{at} closes the connection. If it uses TLS: --tls, or --tls-ca FILE for an authority of your own"
    return f"no service answers at {at}"


def _lines(error: CallError, session: Session) -> list[str]:
    from evergreen.errors import Unauthenticated, Unavailable

    if error.violations:
        lines = [f"the request cannot be accepted ({error.reason or error.code.name})"]
        for each in error.violations:
            # Of a list the option stands for each.
            option = _OPTIONS.get(each.field.partition("[")[0])
            lines.append(f"  {plain(each.field)}: {plain(each.description)}" + (f" [{option}]" if option else ""))
        return lines + _hints({each.field: each.description for each in error.violations})
    if isinstance(error, Unavailable) and not error.reason and "proxies.md" not in error.message:
        lines = [unreachable(error, session)]
        if lines[0].endswith(session.endpoint):
            lines.append(f"Is a server running at {session.endpoint}? `evergreen serve --sandbox` starts one.")
        return lines
    lines = [plain(str(error))]
    if isinstance(error, Unauthenticated):
        lines.append("Give a token that the service knows: EVERGREEN_TOKEN, or --token-file.")
    return lines


def _hints(violations: Mapping[str, str]) -> list[str]:
    if "text_to_video" in violations.get("media", ""):
        return [
            "Give a picture to start from, --image FILE; or a model that needs none: "
            "--model gen4.5 --ratio 1280:720 --duration 5. `evergreen models` lists what each takes."
        ]
    return []


def _details(error: CallError) -> dict[str, object]:
    return {
        "code": error.code.name.lower(),
        "reason": error.reason,
        "metadata": dict(error.metadata),
        "violations": [{"field": each.field, "description": each.description} for each in error.violations],
        "retry_after_seconds": error.retry_after_seconds,
    }


def _grpc_text(error: BaseException) -> str:
    rpc_error = getattr(error, "rpc_error", None)
    return (rpc_error.details() or "").lower() if rpc_error is not None else ""
