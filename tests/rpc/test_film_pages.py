"""Films that are larger than one message: they are read in pages, each of which any client takes."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from evergreen.v1 import film_pb2
from evergreen_server.film.model import FilmSettings, Plan
from evergreen_server.film.numbering import numbered
from evergreen_server.film.planning.faults import MAX_SCENE_BYTES, scene_bytes
from evergreen_server.film.plans.seen import seen_of
from evergreen_server.film.screenplay.script import ScriptFormat
from evergreen_server.rpc.messages.films import film_page
from tests.film.planned import stored_of
from tests.film.planning import TABLE, line, scene, shot
from tests.rpc.films import edited, film_of, planned, scene_ids_of
from tests.rpc.refusals import invalid
from tests.serving import Api, open_sandbox, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGE_BYTES = 4 * 1024 * 1024
"""The most that a client takes that sets nothing."""
SPOKEN = "We counted every boat in the harbour before the fog came in, and again when it had gone, and each time one "
"""With some more characters, two shots for each scene."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    data = tmp_path_factory.mktemp("films")
    async with open_sandbox() as sandbox, serving(data, sandbox.url) as opened:
        yield opened


async def test_the_largest_film_is_read_in_pages_and_in_parts(api: Api) -> None:
    """300 scenes, 600 shots, of which a hundred scenes have the longest prompts."""
    script = "".join(
        f"INT. ROOM {number} - DAY\n\nA harbour. Fog.\n\nANNA\n{SPOKEN + 'had drifted out on the ebb tide.'}\n\n"
        for number in range(300)
    )
    first = (await planned(api, script=script)).film
    scenes = [each.scene for each in first.scenes[:100]]
    for number, each in enumerate(scenes):
        for one in each.shots:
            one.picture_prompt, one.motion_prompt = f"{number} " + "x" * 7_990, "y" * 8_000
    answer = await edited(api, "film", 1, *(film_pb2.FilmEdit(replace_scene=each) for each in scenes))

    pages = [answer.film]
    token = answer.next_page_token
    while token:
        page = await api.film.GetFilm(film_pb2.GetFilmRequest(project_id="film", film_id="movie", page_token=token))
        pages.append(page.film)
        token = page.next_page_token
    part = await film_of(api, "film", scene_ids=["scene-300", "scene-2"])

    assert len(pages) > 1
    assert all(page.ByteSize() < MESSAGE_BYTES for page in pages)
    listed = [each for page in pages for each in page.scenes]
    assert [each.scene.scene_id for each in listed] == [f"scene-{number}" for number in range(1, 301)]
    assert sum(len(each.scene.shots) for each in listed) == 600
    assert [each.scene for each in listed[:100]] == scenes
    items = [item for page in pages for item in page.quote.items]
    assert len({(item.shot_id, item.output) for item in items}) == len(items) == 2 * 600 + 300
    assert sum(item.credits for item in items) == answer.film.quote.credits
    assert {page.quote.credits for page in pages} == {answer.film.quote.credits}
    assert scene_ids_of(part) == ["scene-2", "scene-300"]
    assert list(part.scenes) == [listed[1], listed[299]]
    # The token tells the plan, so that no page is of another one, and belongs to this film alone.
    await edited(api, "film", 2, film_pb2.FilmEdit(delete_scene_id="scene-299"))
    again = film_pb2.GetFilmRequest(project_id="film", film_id="movie", page_token=answer.next_page_token)
    assert (await api.film.GetFilm(again)).film.scenes == pages[1].scenes
    again.film_id = "other"
    assert list(await invalid(api.film.GetFilm(again))) == ["page_token"]


OPTIONS = {"a": [1] * 1_300}
LARGE = {
    "texts": lambda count: scene(LONG_ID, shots=(shot(picture_prompt="語" * 8_000),) * count),
    "options": lambda count: scene(LONG_ID, shots=(shot(clip_options=OPTIONS, picture_options=OPTIONS),) * count),
    "items": lambda count: scene(LONG_ID, shots=(shot(),) * min(count, 600), lines=(line("No."),) * count),
}
LONG_ID = f"{'s' * 55}-1"


@pytest.mark.parametrize("kind", LARGE)
async def test_the_largest_scene_fits_into_one_message(kind: str) -> None:
    count, most = 1, 2_000
    while count < most and scene_bytes(LARGE[kind](count + 1)) <= MAX_SCENE_BYTES:
        count += 1
    plan = Plan(
        film_id="movie",
        settings=FilmSettings(),
        scenes=(LARGE[kind](count), scene("scene-2")),
        script_format=ScriptFormat.PLAIN,
    )
    seen = seen_of(stored_of(numbered(plan)), table=TABLE, there=frozenset())

    page = film_page(seen, seen.stored.planned.plan.scenes)

    # A run will say more of each output: where it lies, which job made it, and what of it changed.
    assert page.film.ByteSize() < 0.6 * MESSAGE_BYTES
    assert len(page.film.scenes[0].scene.shots) == min(count, 600)
    assert len(page.film.scenes[0].shots) == min(count, 600)
