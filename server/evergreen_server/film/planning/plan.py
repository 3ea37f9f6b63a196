"""From a script to a plan, and from a new script to the next plan of the same film."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from evergreen_server.film.model import (
    LONGEST_TITLE,
    Actor,
    FilmSettings,
    FilmWarning,
    Plan,
    PlannedScene,
    Speech,
)
from evergreen_server.film.models import FilmModels
from evergreen_server.film.numbering import numbered
from evergreen_server.film.planning.choices import header_digests
from evergreen_server.film.planning.drafting import Drafter
from evergreen_server.film.planning.faults import surveyed
from evergreen_server.film.planning.matching import continued, scene_ids
from evergreen_server.film.planning.merging import Merger, arranged
from evergreen_server.film.screenplay.script import Script
from evergreen_server.film.screenplay.splitter import Limits, split

__all__ = ["Changes", "Planned", "changes_of", "plan_film"]

_LONGEST_LINE: Final = 5_000
"""Characters that are spoken at once where no model has a bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Scenes by what became of them, in the order of the film; those that are gone in the order that they had."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    plan: Plan
    changes: Changes
    warnings: tuple[FilmWarning, ...] = ()


def plan_film(
    script: Script,
    settings: FilmSettings,
    cast: Sequence[Actor],
    models: FilmModels,
    *,
    film_id: str,
    script_asset: str = "",
    before: Plan | None = None,
) -> Planned:
    """Returns the plan of a script; over the plan before, scenes, shots and lines that go on keep their ids.

    A scene of which the script says the same is kept with the caller's edits. Raises InvalidScript for what the script
    asks too much of, InvalidRequest for what the plan breaks, each with all of its faults.
    """
    bound = models.speech.text_most if settings.speech is Speech.GENERATED else None
    limits = Limits(longest_clip=models.clip.longest, longest_line=bound or _LONGEST_LINE)
    drafter = Drafter(cast, settings.language)
    drafts = [drafter.draft(outline) for outline in split(script, limits, timing=settings.timing).scenes]
    plan = Plan(
        film_id=film_id,
        title=script.header.title[:LONGEST_TITLE],
        settings=settings,
        cast=tuple(cast),
        scenes=(),
        script_format=script.format,
        script_asset=script_asset,
        header=header_digests(script),
    )
    if before is None:
        plan = _with_scenes(plan, drafts)
    else:
        merger = Merger(before=before, settings=settings, cast=cast, models=models, drafter=drafter)
        plan = _continued(plan, before, drafts, merger)
    plan = numbered(plan)
    return Planned(plan=plan, changes=changes_of(before, plan), warnings=surveyed(plan, models))


def changes_of(before: Plan | None, after: Plan) -> Changes:
    """Returns what became of the scenes from one plan to the next."""
    old = {} if before is None else {scene.scene_id: scene for scene in before.scenes}
    new = {scene.scene_id: scene for scene in after.scenes}
    return Changes(
        added=tuple(scene_id for scene_id in new if scene_id not in old),
        changed=tuple(
            scene_id for scene_id, scene in new.items() if scene_id in old and scene != _moved(old[scene_id], scene)
        ),
        removed=tuple(scene_id for scene_id in old if scene_id not in new),
        kept=tuple(
            scene_id for scene_id, scene in new.items() if scene_id in old and scene == _moved(old[scene_id], scene)
        ),
    )


def _moved(old: PlannedScene, new: PlannedScene) -> PlannedScene:
    """Returns a scene where the new script has it: to stand elsewhere is no change."""
    return replace(old, number=new.number, script_line=new.script_line)


def _continued(plan: Plan, before: Plan, drafts: Sequence[PlannedScene], merger: Merger) -> Plan:
    every = continued(before.scenes, drafts)
    # What the caller deleted stays out, while the script says of it what it said.
    pairs = [
        (draft, match)
        for draft, match in zip(drafts, every, strict=True)
        if match is not None or draft.script_digest not in before.deleted
    ]
    said = {draft.script_digest for draft in drafts}
    scenes = [draft if match is None else merger.merged(before.scenes[match], draft) for draft, match in pairs]
    plan = replace(
        plan,
        numbers_used=before.numbers_used,
        numbers_used_in=before.numbers_used_in,
        redone=before.redone,
        chosen=before.chosen,
        deleted=tuple(digest for digest in before.deleted if digest in said),
    )
    return _with_scenes(plan, arranged(before.scenes, scenes, [match for _, match in pairs]))


def _with_scenes(plan: Plan, scenes: Sequence[PlannedScene]) -> Plan:
    """Returns the plan with these scenes, and an id for each that has none."""
    ids, used = scene_ids(
        [index if scene.scene_id else None for index, scene in enumerate(scenes)],
        [scene.scene_id for scene in scenes],
        prefix=plan.settings.scene_prefix,
        used=plan.numbers_used,
    )
    named = tuple(replace(scene, scene_id=scene_id) for scene, scene_id in zip(scenes, ids, strict=True))
    return replace(plan, scenes=named, numbers_used=used)
