"""The ids of shots and lines, and the seeds that follow from them."""

import hashlib
from dataclasses import replace

from evergreen_server.film.model import Plan, PlannedLine, PlannedScene, PlannedShot

__all__ = ["numbered", "planned_seed"]


def numbered(plan: Plan) -> Plan:
    """Returns a plan in which every shot and line has an id, and every shot a seed. No number is ever used again.

    What the plan says of shots and lines that are gone is left out.
    """
    used = {scene.scene_id: plan.numbers_used_in.get(scene.scene_id, 0) for scene in plan.scenes}
    scenes = tuple(_numbered(scene, plan.film_id, used) for scene in plan.scenes)
    items = {shot.shot_id for scene in scenes for shot in scene.shots}
    items |= {line.line_id for scene in scenes for line in scene.lines}
    return replace(
        plan,
        scenes=scenes,
        numbers_used_in=used,
        redone={key: value for key, value in plan.redone.items() if key.rpartition("/")[0] in items},
        chosen={key: value for key, value in plan.chosen.items() if key.rpartition("/")[0] in items},
    )


def planned_seed(film_id: str, item_id: str, turn: int = 0) -> int:
    """Returns the seed of an output: always the same, another one for each film, shot or line, and turn."""
    digest = hashlib.sha256(f"{film_id}/{item_id}/{turn}".encode()).digest()
    return int.from_bytes(digest[:4])


def _numbered(scene: PlannedScene, film_id: str, used: dict[str, int]) -> PlannedScene:
    shot_number = line_number = used[scene.scene_id]
    shots: list[PlannedShot] = []
    for shot in scene.shots:
        if not shot.shot_id:
            shot_number += 1
            shot = replace(shot, shot_id=f"{scene.scene_id}.{shot_number}")
        shots.append(shot if shot.seed is not None else replace(shot, seed=planned_seed(film_id, shot.shot_id)))
    lines: list[PlannedLine] = []
    for line in scene.lines:
        if not line.line_id:
            line_number += 1
            line = replace(line, line_id=f"{scene.scene_id}.line-{line_number}")
        lines.append(line)
    used[scene.scene_id] = max(shot_number, line_number)
    return replace(scene, shots=tuple(shots), lines=tuple(lines))
