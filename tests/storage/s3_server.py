"""The S3 of moto, made to answer one request after the other.

moto answers each in a thread of its own, and there compares a condition and stores the object in two steps: of two
writers at once that name the same ETag, both may win.
"""

import io
import signal
import sys
import threading
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.wsgi import get_input_stream


class OneAtATime:
    """Reads each body whole, so that a slow sender holds nobody up, and passes it on when no other is under way."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._free = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = get_input_stream(environ).read()
        environ["wsgi.input"] = io.BytesIO(body)
        with self._free:
            return self._moto(environ, start_response)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    run_simple("127.0.0.1", 0, OneAtATime(), threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
