"""What the service stands on goes away for a while under jobs at every stage: they wait, and nothing is paid twice.

Here for seconds; `make outages` has each of them, and more, for as long as an outage takes.
"""

from pathlib import Path

from tests.chaos.outages import outages
from tests.serving import Control

LENGTHS = {"the database hangs": 6.0, "the storage hangs": 4.0, "the provider refuses": 4.0}
"""The first is longer than a lease lives, and than the least bound of a connection."""


async def test_outages_of_database_storage_and_provider_cost_nothing(tmp_path: Path, sandbox: Control) -> None:
    tally = await outages(tmp_path, sandbox, LENGTHS)

    assert tally.sound, tally.violations
    assert set(tally.ended) == {"SUCCEEDED"}
    assert tally.attention == {}
