"""What is written about a delivered output: its entry in the job's row, and the sidecar beside it."""

from dataclasses import dataclass
from itertools import zip_longest

from evergreen_server.jobs.model.job import Job, JobWarning, Output
from evergreen_server.ports.media import Clip
from evergreen_server.ports.specs import GenerationSpec, Json
from evergreen_storage import Asset


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One output as it was stored, and what was found in it."""

    output: Asset
    poster: Asset | None
    probe: Clip
    warnings: tuple[JobWarning, ...]


def output_of(item: Delivered) -> Output:
    """Returns the entry of an output in the job's row."""
    return Output(
        path=item.output.path,
        content_type=item.output.content_type,
        size_bytes=item.output.size_bytes,
        crc32c=item.output.crc32c,
        width=item.probe.width,
        height=item.probe.height,
        duration_seconds=item.probe.duration_seconds,
        poster=item.poster.path if item.poster else "",
    )


def _of_operation(spec: GenerationSpec) -> dict[str, Json]:
    """Returns what a clip of GenerateVideo does not have."""
    if spec.operation is None:
        return {}
    references = [{"tag": item.tag, "subject": item.subject, "sceneId": item.scene_id} for item in spec.media]
    return {
        "operation": spec.operation.value,
        "parameters": dict(spec.parameters),
        "references": [{name: text for name, text in item.items() if text} for item in references],
    }


def sidecar(job: Job, delivered: list[Delivered]) -> dict[str, Json]:
    """Returns what somebody needs who finds the output years later, without our database."""
    spec = job.request.spec
    return {
        "requestId": job.request.request_id,
        "prompt": spec.prompt_text,
        "model": spec.model,
        "ratio": spec.ratio,
        "resolution": spec.resolution,
        "requestedDurationSeconds": spec.duration_seconds,
        "seed": spec.seed,
        "options": dict(spec.options),
        "inputs": [
            {"role": item.role, "asset": item.asset, **({"sha256": pin.sha256} if pin else {})}
            for item, pin in zip_longest(job.inputs, job.pins)
        ],
        "attempt": job.attempt,
        "providerTaskId": job.task_id,
        "codec": [item.probe.codec for item in delivered],
        **_of_operation(spec),
        "chargedCredits": None if job.charged_millicredits is None else job.charged_millicredits / 1000,
        "costBasis": job.cost_basis.value if job.cost_basis else None,
        "labels": dict(job.request.labels),
        "createdAt": job.created_at.isoformat(),
        "submittedAt": job.submitted_at.isoformat() if job.submitted_at else None,
    }
