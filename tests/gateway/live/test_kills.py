"""A server that is killed under pages and event sources. `make chaos-http` does so for longer."""

from pathlib import Path

from tests.gateway.live.kills import storm
from tests.serving import Control


async def test_a_killed_server_costs_no_page_and_no_event_source_a_change(tmp_path: Path, sandbox: Control) -> None:
    watchers = await storm(tmp_path, sandbox, kills=2, seed=1)

    assert all(watcher.opened >= 2 for watcher in watchers)


async def test_a_gateway_alone_that_is_killed_or_loses_its_server_costs_none_either(
    tmp_path: Path, sandbox: Control
) -> None:
    watchers = await storm(tmp_path, sandbox, kills=2, seed=2, alone=True)

    assert all(watcher.opened >= 2 for watcher in watchers)
