"""What the provider's account allows is told with a film's quote: days of its tier, and credits that are left."""

import asyncio
from pathlib import Path

from evergreen.v1 import film_pb2
from tests.rpc.films import edited, film_of, planned
from tests.serving import Api, open_sandbox, serving

SCENES = 60
SCRIPT = "\n\n".join(f"Boat number {number} leaves the harbour long before dawn." for number in range(1, SCENES + 1))


def told(film: film_pb2.Film) -> set[str]:
    return {warning.code for warning in film.status.warnings} & {"DAILY_LIMIT", "BALANCE_LOW"}


async def known(api: Api) -> None:
    """Waits until the server knows the account, which it asks when it starts, and then every minute."""
    async with asyncio.timeout(60):
        while True:
            if told((await planned(api, script=SCRIPT, validate_only=True)).film):
                return
            await asyncio.sleep(0.1)


async def test_a_quote_tells_the_days_of_the_tier_and_a_balance_that_is_too_low(tmp_path: Path) -> None:
    async with open_sandbox() as sandbox:
        await sandbox.account(tier=1, creditBalance=900)
        async with serving(tmp_path / "data", sandbox.url) as api:
            await known(api)
            film = (await planned(api, script=SCRIPT)).film
            short = film_pb2.FilmEdit(delete_scene_id="scene-60")
            less = (await edited(api, "film", 1, short)).film
            few = [film_pb2.FilmEdit(delete_scene_id=f"scene-{number}") for number in range(20, SCENES)]
            one_day = (await edited(api, "film", 2, *few)).film
            read = await film_of(api, "film")

    # 50 clips and 50 lines a day on the first tier.
    assert film.quote.credits > 900
    assert (told(film), film.quote.provider_days) == ({"DAILY_LIMIT", "BALANCE_LOW"}, 2)
    assert (told(less), less.quote.provider_days) == ({"DAILY_LIMIT", "BALANCE_LOW"}, 2)
    assert one_day.quote.credits <= 900
    assert (told(one_day), one_day.quote.provider_days) == (set(), 1)
    assert read.quote == one_day.quote
    # How much the account has is not for everybody to know.
    assert not any("900" in warning.message for warning in film.status.warnings)
