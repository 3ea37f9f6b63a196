"""The film's own document, `metadata/film.json`: its plan, its outputs and its exports, readable without the service.

    schemaVersion  filmId  run  planRevision
    plan           as it was approved
    outputs        {itemId/output: {sceneId, asset, sha256, seconds, digest, take, basis, jobId, credits}}
    exports        [{profile, asset, sha256, sizeBytes, digest, run}], of this run first, then earlier ones

It is an index of the newest run that was published: the rows hold what it says.
"""

import json
from collections.abc import Sequence
from typing import Final

from evergreen_server.film.assembling.material import Claim, Material
from evergreen_server.film.assembling.store import Export
from evergreen_server.film.codec import to_document
from evergreen_server.film.digests import Json

__all__ = ["NAME", "index_of"]

NAME: Final = "film.json"
SCHEMA_VERSION: Final = 1


def index_of(claim: Claim, material: Material, exports: Sequence[Export]) -> bytes:
    """Returns the document."""
    document: dict[str, Json] = {
        "schemaVersion": SCHEMA_VERSION,
        "filmId": claim.film_id,
        "run": claim.run,
        "planRevision": material.plan_revision,
        "plan": to_document(material.plan),
        "outputs": {key: _output(key, material) for key in sorted(material.used)},
        "exports": [_export(export) for export in exports],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _output(key: str, material: Material) -> dict[str, Json]:
    file, basis = material.used[key], material.bases.get(key)
    return {
        "sceneId": file.source.scene_id,
        "asset": file.source.asset,
        "sha256": file.source.sha256,
        "seconds": file.seconds,
        "digest": file.digest,
        "take": file.take,
        "basis": None if basis is None else {str(member): value for member, value in basis.items()},
        "jobId": file.job_id,
        "credits": file.millicredits / 1000,
    }


def _export(export: Export) -> dict[str, Json]:
    return {
        "profile": export.profile,
        "asset": export.asset,
        "sha256": export.sha256,
        "sizeBytes": export.size_bytes,
        "digest": export.digest,
        "run": export.run,
    }
