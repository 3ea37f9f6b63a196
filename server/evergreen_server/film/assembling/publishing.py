"""Puts beside an export what belongs to it: captions, a timeline for editors, and a document of what it is made of.

The document comes last, so that whoever finds it finds all the others.
"""

from collections.abc import Iterator
from dataclasses import replace

from evergreen_server.film.assembling.material import Claim, CutRefused, Material
from evergreen_server.film.assembling.preparing import Prepared
from evergreen_server.film.assembling.store import Export
from evergreen_server.film.cut.exports import beside
from evergreen_server.film.cut.otio import otio
from evergreen_server.film.cut.sidecar import ExportFile, sidecar
from evergreen_server.film.cut.subtitles import srt, vtt
from evergreen_server.jobs.model.names import choices
from evergreen_server.ports.timeline import Profile
from evergreen_server.runtime.threads import OwnThreads
from evergreen_storage import Asset, AssetConflict, SceneStore

__all__ = ["publish"]


async def publish(
    scenes: SceneStore, threads: OwnThreads, claim: Claim, material: Material, each: Prepared, export: Export
) -> bool:
    """Writes the files and names them in the scene; the same again changes nothing. Raises StorageError.

    Returns False if the export itself is not there any more.
    """
    film = await scenes.adopt(
        claim.project_id, claim.film_id, export.asset, size_bytes=export.size_bytes, crc32c=export.crc32c
    )
    if film is None:
        return False
    assets = [_described(film, each.profile, export.seconds)]
    texts = await threads.run(lambda: list(_texts(material, each, export)), owner=claim.project_id)
    for suffix, content_type, text in texts:
        assets.append(await _keep(scenes, claim, beside(export.asset, suffix), text.encode(), content_type))
    await scenes.attach(claim.project_id, claim.film_id, assets)
    return True


def _described(film: Asset, profile: Profile, seconds: float) -> Asset:
    return replace(film, content_type="video/mp4", width=profile.width, height=profile.height, duration_seconds=seconds)


def _texts(material: Material, each: Prepared, export: Export) -> Iterator[tuple[str, str, str]]:
    """Yields the suffix, the type and the content of each file."""
    captions, files = each.cut.timeline.captions, [*each.used.values(), *([each.music] if each.music else [])]
    yield "vtt", "text/vtt", vtt(captions)
    yield "srt", "application/x-subrip", srt(captions)
    yield "otio", "application/json", otio(each.cut, files, title=material.plan.title, profile=each.profile)
    cut = ExportFile(
        asset=export.asset,
        sha256=export.sha256,
        size_bytes=export.size_bytes,
        digest=export.digest,
        frames=export.frames,
        seconds=export.seconds,
        loudness_lufs=export.loudness_lufs,
        true_peak_dbtp=export.true_peak_dbtp,
        copied=export.copied,
        claim=export.claim or None,
    )
    warned = replace(each.cut, warnings=(*each.cut.warnings, *export.warnings))
    document = sidecar(
        material.plan,
        warned,
        each.used,
        cut,
        profile=each.profile,
        run=export.run,
        plan_revision=export.plan_revision,
    )
    yield "json", "application/json", document


async def _keep(scenes: SceneStore, claim: Claim, path: str, data: bytes, content_type: str) -> Asset:
    """Stores a small file, under the next name where the first is another file's."""
    for name in choices(path):
        try:
            return await scenes.add(claim.project_id, claim.film_id, name, data, content_type)
        except AssetConflict:
            continue
    raise CutRefused(f"every name for {path} is another file's", code="RENDER_FAILED")
