"""What lies beside an export as JSON: what it was made of, what that cost, and what is not as planned.

    schemaVersion  filmId  title  run  planRevision  scriptAsset  language
    export         {asset, sha256, sizeBytes, digest, frames, seconds, loudnessLufs, truePeakDbtp, copied, claim,
                   profile}; the claim is the label of its C2PA manifest
    shots          [{shotId, start, frames, still, sceneId, asset}]
    sounds         [{heard, itemId, start, sceneId, asset}]
    substitutions  [{itemId, output, by}]
    warnings       [{code, message}]
    outputs        {itemId/output: {sceneId, asset, sha256, seconds, digest, take, jobId, credits}}
    credits        of all these outputs, whichever run made them

Times are in seconds from the start of the film.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Final

from evergreen_server.film.cut.cutting import Cut, Used
from evergreen_server.film.model import Plan
from evergreen_server.ports.specs import Json
from evergreen_server.ports.timeline import Profile, Source

__all__ = ["SCHEMA_VERSION", "ExportFile", "sidecar"]

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFile:
    """A film that was rendered, as it was measured."""

    asset: str
    sha256: str
    size_bytes: int
    digest: str
    """Of what it was made from."""
    frames: int
    seconds: float
    loudness_lufs: float | None
    """None where it is silent, like the peak."""
    true_peak_dbtp: float | None
    copied: bool
    """The picture was not encoded again."""
    claim: str | None = None
    """The label of its C2PA manifest."""


def sidecar(
    plan: Plan,
    cut: Cut,
    used: Mapping[str, Used],
    export: ExportFile,
    *,
    profile: Profile,
    run: int,
    plan_revision: int,
) -> str:
    """Returns the document of an export. `used` are by output, and may hold others than are in the cut."""
    seen = {*cut.shots, *cut.items}
    outputs = {key: file for key, file in used.items() if key.rpartition("/")[0] in seen}
    document: dict[str, Json] = {
        "schemaVersion": SCHEMA_VERSION,
        "filmId": plan.film_id,
        "title": plan.title,
        "run": run,
        "planRevision": plan_revision,
        "scriptAsset": plan.script_asset,
        "language": cut.timeline.language,
        "export": {**_members(asdict(export)), "profile": _members(asdict(profile))},
        "shots": list(_shots(cut, profile.fps)),
        "sounds": list(_sounds(cut)),
        "substitutions": [{"itemId": each.item_id, "output": each.kind, "by": each.by} for each in cut.substitutions],
        "warnings": [{"code": each.code, "message": each.message} for each in cut.warnings],
        "outputs": {key: _output(outputs[key]) for key in sorted(outputs)},
        "credits": sum(file.millicredits for file in outputs.values()) / 1000,
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _shots(cut: Cut, fps: int) -> Iterator[Json]:
    starts = accumulate((span.frames for span in cut.timeline.spans), initial=0)
    for start, span, shot in zip(starts, cut.timeline.spans, cut.shots, strict=False):
        place: dict[str, Json] = {"start": round(start / fps, 3), "frames": span.frames, "still": span.still}
        yield {"shotId": shot, **place, **(_place(span.source) if span.source else {})}


def _sounds(cut: Cut) -> Iterator[Json]:
    for sound, item in zip(cut.timeline.sounds, cut.items, strict=True):
        yield {"heard": sound.heard, "itemId": item, "start": sound.start, **_place(sound.source)}


def _output(file: Used) -> dict[str, Json]:
    made: dict[str, Json] = {
        "digest": file.digest,
        "take": file.take,
        "jobId": file.job_id,
        "credits": file.millicredits / 1000,
    }
    return {**_place(file.source), "sha256": file.source.sha256, "seconds": file.seconds, **made}


def _place(source: Source) -> dict[str, Json]:
    return {"sceneId": source.scene_id, "asset": source.asset}


def _members(values: Mapping[str, Json]) -> dict[str, Json]:
    """Returns values by names as JSON has them: `sizeBytes` for `size_bytes`."""
    return {
        first + "".join(map(str.capitalize, more)): values[name]
        for name in values
        for first, *more in [name.split("_")]
    }
