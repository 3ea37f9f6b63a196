"""A project that starts one long film after the other beside one that starts a short one: each has its turns."""

import asyncio
from pathlib import Path

from evergreen.v1 import video_pb2
from tests.rpc.films import cancelled, film_until, plan_request, start_request
from tests.serving import Api, open_sandbox, serving

FILMS = 3
SCENES = 20


def script_of(name: str, scenes: int) -> str:
    rooms = "".join(f"INT. ROOM {number} - DAY\n\nA kettle of {name}.\n\n" for number in range(scenes))
    return f"Title: {name}\nAuthor: A\n\n{rooms}"


async def begun(api: Api, project: str, film_id: str, scenes: int) -> video_pb2.FilmStatus:
    plan = plan_request(project_id=project, film_id=film_id, script=script_of(project, scenes))
    plan.settings.scene_prefix = f"{film_id}-scene"
    await api.film.PlanFilm(plan)
    start = start_request(project, film_id=film_id, max_credits=100_000, stop_after=video_pb2.FILM_STAGE_STORYBOARD)
    return (await api.film.StartFilm(start)).film.status


async def test_a_film_beside_those_of_a_greedy_project_has_its_turns(tmp_path: Path) -> None:
    """Counted by the provider's tasks: how many of the greedy project come between those of the honest one."""
    async with open_sandbox() as sandbox, serving(tmp_path, sandbox.url) as api:
        await sandbox.account(maxConcurrentGenerations=2)
        greedy = await asyncio.gather(*(begun(api, "greedy", f"film-{number}", SCENES) for number in range(FILMS)))
        await sandbox.called("text_to_image", times=2)

        await begun(api, "honest", "movie", 3)
        await film_until(api, "honest", video_pb2.FILM_STATE_SUCCEEDED)
        order = ["honest" in task["promptText"] for task in await sandbox.tasks()]
        for status in greedy:
            await cancelled(api, status)

    first, last = order.index(True), len(order) - 1 - order[::-1].index(True)
    assert sum(order) == 3
    assert order[:first].count(False) >= 2
    # A turn of the other's for each of its own, and what a place had to be given to at once.
    assert order[first:last].count(False) <= 3 + 2
