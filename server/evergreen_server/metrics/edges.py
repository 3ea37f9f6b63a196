"""The calls of both edges: gRPC by method and code, HTTP by route and status, and what is open."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from evergreen_server.metrics.buckets import CALLS


class CallMetrics:
    """Calls of the gRPC server; implements `ports.metrics.Calls`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "evergreen_grpc_calls", "Calls that have ended, by method and code.", ["method", "code"], registry=registry
        )
        self._seconds = Histogram(
            "evergreen_grpc_call_seconds",
            "Seconds that calls with one request and one answer took.",
            ["method"],
            buckets=CALLS,
            registry=registry,
        )
        self._streams = Gauge("evergreen_grpc_streams", "Streams that are open.", ["method"], registry=registry)

    def of(self, method: str, *, stream: bool) -> "MethodMetrics":
        """Returns what counts the calls of one method."""
        return MethodMetrics(
            ended=lambda code: self._ended.labels(method, code),
            seconds=None if stream else self._seconds.labels(method),
            streams=self._streams.labels(method) if stream else None,
        )


class MethodMetrics:
    """Calls of one method, whose labels are looked up once."""

    def __init__(self, *, ended: Callable[[str], Counter], seconds: Histogram | None, streams: Gauge | None) -> None:
        self._make, self._seconds, self._streams = ended, seconds, streams
        self._ended: dict[str, Counter] = {}

    def began(self) -> None:
        if self._streams is not None:
            self._streams.inc()

    def ended(self, code: str, seconds: float) -> None:
        counter = self._ended.get(code)
        if counter is None:
            counter = self._ended[code] = self._make(code)
        counter.inc()
        if self._seconds is not None:
            self._seconds.observe(seconds)
        if self._streams is not None:
            self._streams.dec()


class GatewayMetrics:
    """The gateway, which tells once it is open what is open in it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "evergreen_http_requests",
            "Answers of the gateway, by route and status.",
            ["route", "status"],
            registry=registry,
        )
        self._open = {
            "sockets": Gauge("evergreen_gateway_sockets", "WebSockets that are open.", registry=registry),
            "streams": Gauge("evergreen_gateway_streams", "Streams of events that are open.", registry=registry),
            "topics": Gauge(
                "evergreen_gateway_topics", "Projects of callers that are watched for them.", registry=registry
            ),
        }

    def answered(self, route: str, status: int) -> None:
        self._answers.labels(route, str(status)).inc()

    def opened(self, numbers: Mapping[str, Callable[[], int]]) -> None:
        """Takes what counts sockets, streams and topics."""
        for name, gauge in self._open.items():
            gauge.set_function(numbers[name])
