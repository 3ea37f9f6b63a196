"""Whose film is rendered next: one who asks for many delays another by one of them."""

import asyncio
from dataclasses import replace

from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.renderer import Renderer
from evergreen_server.ports.timeline import Profile, Span
from tests.media.render.reel import OFTEN, Cutting, of

TINY = Profile(name="tiny", width=64, height=64)


async def rendered(cutting: Cutting, owner: str, done: list[str]) -> None:
    order = cutting.order(of(Span(source=None, frames=2)), TINY)
    await cutting.renderer.render(order, cutting.progress.append, owner=owner)
    done.append(owner)


async def test_one_film_of_a_project_is_second_behind_ten_of_another(cutting: Cutting) -> None:
    done: list[str] = []

    async with asyncio.TaskGroup() as tasks:
        greedy = [tasks.create_task(rendered(cutting, "greedy", done)) for _ in range(10)]
        honest = tasks.create_task(rendered(cutting, "honest", done))
        await honest
        for task in greedy:
            task.cancel()

    assert done == ["greedy", "honest"]


async def test_a_project_alone_has_its_films_rendered_one_after_the_other_though_some_wait_no_more(
    cutting: Cutting,
) -> None:
    done: list[str] = []

    async with asyncio.TaskGroup() as tasks:
        first, second, _ = (tasks.create_task(rendered(cutting, "alone", done)) for _ in range(3))
        second.cancel()
        await first
        assert done == ["alone"]

    assert done == ["alone", "alone"]


async def test_places_are_for_several_projects_and_never_all_for_one(cutting: Cutting) -> None:
    cutting.renderer = Renderer(replace(OFTEN, films_at_once=2))
    done: list[str] = []

    async with asyncio.TaskGroup() as tasks:
        greedy = [tasks.create_task(rendered(cutting, "greedy", done)) for _ in range(5)]
        honest = tasks.create_task(rendered(cutting, "honest", done))
        await honest
        for task in greedy:
            task.cancel()

    assert done.count("greedy") <= 1


def test_large_frames_are_encoded_one_segment_at_a_time() -> None:
    limits = RenderLimits()

    sizes = [(64, 64), (1280, 720), (1920, 1080), (3840, 2160), (4096, 4096)]
    assert [limits.segments_of(*size) for size in sizes] == [2, 2, 2, 1, 1]
    assert RenderLimits(segments_at_once=9).segments_of(1920, 1080) == 4
