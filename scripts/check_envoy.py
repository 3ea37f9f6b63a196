"""Reads Envoy's settings in docs/proxies.md by Envoy's own messages: every field must be one, and of its type.

    python scripts/check_envoy.py

Needs the package xds-protos, and no Envoy: what a setting does is not tried.
"""

import re
from importlib import import_module
from pathlib import Path

from google.protobuf import json_format
from ruamel.yaml import YAML

PAGE = Path(__file__).parents[1] / "docs" / "proxies.md"
USED = (
    "envoy.extensions.filters.http.router.v3.router_pb2",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
    "envoy.extensions.transport_sockets.tls.v3.tls_pb2",
    "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
)
"""Where the messages are that settings name by `@type`: by being loaded they are known."""


def main() -> None:
    for module in USED:
        import_module(module)
    bootstrap = import_module("envoy.config.bootstrap.v3.bootstrap_pb2").Bootstrap
    blocks = re.findall(r"^```yaml\n(.*?)```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    if not blocks:
        raise SystemExit(f"{PAGE.name} has no settings of Envoy")
    for block in blocks:
        json_format.ParseDict(YAML(typ="safe").load(block), bootstrap())
    print(f"Envoy's settings in {PAGE.name} are made of fields that Envoy has.")


if __name__ == "__main__":
    main()
