"""Cuts a film for each of its profiles, by what is measured of its files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from evergreen_server.film.assembling.files import LocalFiles
from evergreen_server.film.assembling.material import CutRefused, Material
from evergreen_server.film.composing.lengths import lengths_of
from evergreen_server.film.cut.cutting import Cut, Used, cut
from evergreen_server.film.cut.exports import export_digest
from evergreen_server.film.model import OutputKind
from evergreen_server.film.profiles import suggested
from evergreen_server.film.statuses import Status
from evergreen_server.ports.media import MediaRefused, MediaTools, Pauses
from evergreen_server.ports.timeline import Profile
from evergreen_server.runtime.threads import OwnThreads

__all__ = ["Prepared", "prepare"]


_USED: Final = (Status.THERE, Status.OLDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The film in one of its forms, ready to be rendered."""

    profile: Profile
    cut: Cut
    digest: str
    used: Mapping[str, Used]
    """By output, with every length that can be known."""
    music: Used | None


async def prepare(
    material: Material, files: LocalFiles, tools: MediaTools, threads: OwnThreads, *, project_id: str, renderer: str
) -> tuple[Prepared, ...]:
    """Returns the cuts of a film. Brings what is spoken to the disk, and of the rest what has no known length.

    Raises FileLost, CutRefused without its music or with nothing left to be seen, StorageError and MediaUnreachable.
    """
    if material.music and not material.music.source.sha256:
        raise CutRefused(f"its music is not there: {material.music.source.asset}", code="ASSET_NOT_FOUND")
    seconds = _Seconds(files, tools, project_id)
    used, measured, pauses = dict(material.used), dict(material.measured), dict[str, Pauses]()
    heard = [key for key in used if not key.endswith(f"/{OutputKind.PICTURE}") and material.statuses.get(key) in _USED]
    for key in heard:
        used[key] = await seconds.of(used[key])
    speech = {key.rpartition("/")[0]: used[key] for key in heard if key.endswith(f"/{OutputKind.SPEECH}")}
    await files.paths(file.source for file in speech.values())
    for line_id, file in speech.items():
        measured |= {line_id: file.seconds} if file.seconds is not None else {}
        pauses[line_id] = await _pauses(file, files, tools, project_id)
    music = await seconds.of(material.music) if material.music else None
    work = partial(_cuts, replace(material, used=used, measured=measured), pauses, music, renderer)
    return await threads.run(work, owner=project_id)


def _cuts(material: Material, pauses: Mapping[str, Pauses], music: Used | None, renderer: str) -> tuple[Prepared, ...]:
    plan, used = material.plan, material.used
    lengths = {
        scene.scene_id: lengths_of(scene, plan.settings, material.models, material.measured) for scene in plan.scenes
    }
    prepared = []
    for profile in material.profiles or plan.settings.profiles or (suggested(plan.settings.aspect),):
        made = cut(plan, lengths, material.statuses, used, profile=profile, pauses=pauses, music=music)
        if not made.timeline.spans:
            raise CutRefused("all of its shots were left out, so that there is nothing to see", code="RENDER_FAILED")
        digest = export_digest(made.timeline, profile, renderer=renderer)
        prepared.append(Prepared(profile=profile, cut=made, digest=digest, used=used, music=music))
    return tuple(prepared)


class _Seconds:
    """Measures files whose length no job has recorded: those that callers chose."""

    def __init__(self, files: LocalFiles, tools: MediaTools, owner: str) -> None:
        self._files, self._tools, self._owner = files, tools, owner

    async def of(self, file: Used) -> Used:
        if file.seconds is not None:
            return file
        path = await self._files.path(file.source)
        try:
            clip = await self._tools.probe(path, owner=self._owner)
        except MediaRefused:
            # The renderer will say what is wrong with it.
            return file
        return replace(file, seconds=clip.duration_seconds or None)


async def _pauses(file: Used, files: LocalFiles, tools: MediaTools, owner: str) -> Pauses:
    path = await files.path(file.source)
    try:
        return await tools.pauses(path, owner=owner)
    except MediaRefused:
        # Its captions are timed by its letters alone; the renderer says what is wrong with it.
        return ()
