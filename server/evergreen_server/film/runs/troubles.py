"""What callers read of outputs that somebody must decide about."""

from collections.abc import Iterable, Iterator

from evergreen_server.film.model import OutputKind
from evergreen_server.film.runs.deciding import Trouble
from evergreen_server.film.runs.looking import Look
from evergreen_server.film.runs.run import RunTrouble

__all__ = ["troubles_of"]


def troubles_of(troubles: Iterable[Trouble], seen: Look) -> Iterator[RunTrouble]:
    """Yields what is said of outputs that somebody must decide about."""
    for trouble in troubles:
        item_id, _, output = trouble.key.rpartition("/")
        job = seen.jobs.get(trouble.key)
        if job is not None and job.error is not None:
            reason, message = job.error.reason, job.error.message
        elif trouble.key in seen.missing:
            places = ", ".join(f"{scene_id}/{asset}" for scene_id, asset in seen.missing[trouble.key])
            reason, message = "ASSET_NOT_FOUND", f"what it is made from is not there: {places}"
        elif trouble.key in seen.refused:
            reason, message = (
                "CLIP_UNSUPPORTED",
                f"no frame of the clip before it can be taken: {seen.refused[trouble.key]}",
            )
        else:
            reason, message = (job.state.value if job else "INPUT_FAILED"), "what it is made from could not be made"
        yield RunTrouble(
            item_id=item_id,
            output=OutputKind(output).value,
            job_id=job.job_id if job else "",
            reason=reason,
            message=message,
        )
