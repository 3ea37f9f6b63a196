"""Whether traces are sent, by OpenTelemetry's own variables; what else they say, its SDK reads itself."""

from collections.abc import Mapping

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def tracing(environ: Mapping[str, str], errors: list[str]) -> bool:
    """Returns whether traces are sent; adds to the errors what this server cannot do."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    wanted = exporter == "otlp" or (not exporter and any(environ.get(name) for name in ENDPOINTS))
    if exporter not in ("", "otlp", "none"):
        errors.append("OTEL_TRACES_EXPORTER: must be otlp or none")
    if not wanted or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    name = next((name for name in PROTOCOLS if environ.get(name)), "")
    if name and environ[name] != "http/protobuf":
        errors.append(f"{name}: must be http/protobuf, which collectors take at port 4318")
    return True
