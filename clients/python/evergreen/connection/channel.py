"""Settings of the client's channel: retries of unavailable calls, keepalive, limits."""

import json

_SERVICE_CONFIG = {
    "methodConfig": [
        # The watch retries by itself, since only it knows the cursor.
        {"name": [{"service": "evergreen.v1.VideoService", "method": "WatchProgress"}]},
        {
            "name": [
                {"service": f"evergreen.v1.{name}"}
                for name in ("VideoService", "SceneService", "FilmService", "WebhookService", "AuditService")
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
    ]
}

CHANNEL_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A quiet watch sends nothing, and the default stops the pings after two.
    ("grpc.http2.max_pings_without_data", 0),
    # By default a channel waits up to two minutes before it tries to reach a restarted server.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A page of jobs with long prompts and labels may exceed the default of 4 MiB.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)

# A proxy from the environment cannot reach this machine's loopback, and would be able to read what is sent there.
LOOPBACK_OPTIONS: tuple[tuple[str, str | int], ...] = (("grpc.enable_http_proxy", 0),)
