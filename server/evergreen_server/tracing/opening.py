"""Loads what sends spans, which comes with an extra."""

from contextlib import AbstractAsyncContextManager

from evergreen_server.ports.tracing import Tracer, TracingUnusable


def open_tracing() -> AbstractAsyncContextManager[Tracer]:
    """Returns the context of what sends spans. Raises TracingUnusable."""
    try:
        # Only now: most servers send none, and need not wait for it to be loaded.
        from evergreen_server.tracing.otlp import open_tracer
    except ModuleNotFoundError as exc:
        text = f"to send traces, install the package {exc.name}: pip install 'evergreen-video[otel]'"
        raise TracingUnusable(text) from exc
    return open_tracer()
