"""What a job is, in words."""

from google.protobuf.struct_pb2 import Struct

from evergreen.cli.output import number, plain
from evergreen.cli.work.messages import as_dict, word
from evergreen.v1.video_pb2 import GenerateVideoRequest, Job, JobStage, JobState, Media, MediaKind, MediaRole

DELIVERING_FROM = 0.9
"""How much is done at least once delivery begins."""


def state_name(job: Job) -> str:
    return JobState.Name(job.state).removeprefix("JOB_STATE_") if job.state in JobState.values() else str(job.state)


def stage_name(job: Job) -> str:
    """Returns the name of the stage; empty if there is none."""
    if not job.stage:
        return ""
    return JobStage.Name(job.stage).removeprefix("JOB_STAGE_") if job.stage in JobStage.values() else str(job.stage)


def where(job: Job) -> str:
    """Returns the stage, or the state of a job that has none."""
    return stage_name(job) or state_name(job)


def kind_name(job: Job) -> str:
    """Returns what a job makes; a service from before there were kinds makes videos."""
    return str(word(MediaKind.DESCRIPTOR, job.kind)) if job.kind else "video"


def short_id(job_id: str) -> str:
    """Returns the end of an id, which differs even between simultaneous jobs, and which commands take."""
    return f"…{job_id[-8:]}"


def name(job: Job) -> str:
    """Returns a short name: the scene, the end of the job id, and the kind, unless it is a video."""
    kind = kind_name(job)
    return plain(f"{job.scene_id} {short_id(job.job_id)}") + (f" {kind}" if kind != "video" else "")


def model_of(job: Job) -> str:
    return job.request.model or job.generate_request.model


def credits_of(job: Job) -> str:
    """Returns what a job has cost, or the most that it may cost."""
    if job.HasField("charged_credits"):
        return number(job.charged_credits)
    return f"≤ {number(job.estimated_credits)}" if job.HasField("estimated_credits") else ""


def done(job: Job, delivering_seconds: float = 0.0) -> float | None:
    """Returns how much of a job is done, 0 to 1; None for one that ended without success.

    The service tells what the provider has done, and delivery comes after it: it goes on from there, by time alone.
    """
    if job.state in (JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED, JobState.JOB_STATE_EXPIRED):
        return None
    if job.stage != JobStage.JOB_STAGE_DELIVERING:
        return job.progress
    begun = max(job.progress, DELIVERING_FROM)
    return begun + max(0.0, 0.99 - begun) * (1 - 1 / (1 + delivering_seconds / 5))


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def paths(job: Job) -> list[str]:
    """Returns the paths of the job's files, from the root of the service's storage."""
    return [f"projects/{job.project_id}/{job.scene_id}/{output.asset}" for output in job.outputs]


def reason_of(job: Job) -> str:
    """Returns why a job failed, expired or needs attention, as the service's word; empty if nothing is wrong."""
    return job.error.reason


def request_facts(job: Job) -> list[tuple[str, str]]:
    """Returns what was asked for: prompt, size, length, inputs, options; long texts are cut."""
    if job.HasField("request"):
        return _clip_facts(job.request)
    operation = job.generate_request.WhichOneof("operation")
    facts: list[tuple[str, str]] = []
    if operation is not None:
        for name, value in as_dict(getattr(job.generate_request, operation)).items():
            if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value:
                facts.append((name.replace("_", " "), _cut(str(value))))
    return [*facts, ("seed", _seed(job.generate_request.HasField("seed"), job.generate_request.seed))]


def _clip_facts(request: GenerateVideoRequest) -> list[tuple[str, str]]:
    return [
        ("prompt", _cut(request.prompt_text)),
        ("ratio", request.ratio),
        ("resolution", request.resolution),
        ("duration", f"{request.duration_seconds} s" if request.HasField("duration_seconds") else ""),
        *(("input", _input(media)) for media in request.media),
        *(("option", f"{name}={_json(request.options, name)}") for name in sorted(request.options)),
        ("seed", _seed(request.HasField("seed"), request.seed)),
    ]


def _input(media: Media) -> str:
    role = str(word(MediaRole.DESCRIPTOR, media.role)).replace("_", " ")
    source = media.uri or (f"{media.scene_id}/" if media.scene_id else "") + media.asset or "(not stored yet)"
    return " ".join(part for part in (role, source) if part)


def _json(options: Struct, name: str) -> object:
    return as_dict(options)[name]


def _seed(given: bool, seed: int) -> str:
    return str(seed) if given else ""


def _cut(text: str, most: int = 500) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
