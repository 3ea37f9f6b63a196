"""A few kills between the steps of webhooks; `make chaos-webhooks` makes hundreds."""

from collections import Counter

from tests.webhooks.kills import WRONG, storm


async def test_kills_lose_no_event_and_change_no_id_and_tell_nothing_from_before_a_webhook(database_url: str) -> None:
    replicas = 1 if database_url.startswith("sqlite") else 3
    found = await storm(database_url, replicas=replicas, kills=6, seed=7)

    assert found["kills"] == 6
    assert found["requests"] > 0
    assert Counter({what: found[what] for what in WRONG}) == Counter(dict.fromkeys(WRONG, 0))
