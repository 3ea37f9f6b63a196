"""Tells the events of one job in words."""

from contextlib import aclosing

import click

from evergreen.cli.output import moment, plain, say, write_json
from evergreen.cli.reading.ids import whole_id
from evergreen.cli.session import Session
from evergreen.cli.work.wording import credits_of, stage_name, state_name
from evergreen.errors import CursorCompacted
from evergreen.v1.video_pb2 import Event, EventKind, Job
from evergreen.wire import WireClient

_STAGES = {
    "PREPARING": "its inputs are read",
    "WAITING": "it waits for its turn",
    "SUBMITTING": "it is handed to the provider",
    "THROTTLED": "the provider lets it wait",
    "GENERATING": "the provider makes it",
    "DELIVERING": "it is brought into the scene",
}


async def tell(client: WireClient, ours: Session, text: str, *, follow: bool) -> None:
    """Writes the events of a job, oldest first: those that are kept, or with `follow` all up to its end."""
    job_id = await whole_id(client, text)
    after, told, before = 0, 0, Job()
    while True:
        try:
            async with aclosing(client.watch(job_ids=[job_id], after_revision=after)) as messages:
                async for message in messages:
                    if message.HasField("event"):
                        event = message.event
                        if event.kind == EventKind.EVENT_KIND_SNAPSHOT and told:
                            break
                        _write(ours, event, before)
                        before, told = event.job, told + 1
                        after = max(after, message.revision)
                    elif not follow:
                        break
            break
        except CursorCompacted as error:
            oldest = int(error.metadata.get("compacted_revision", "0"))
            if oldest <= after:
                raise
            after = oldest
            say("older events are no longer kept")
    if not told:
        job = await client.status(job_id)
        _write(ours, Event(kind=EventKind.EVENT_KIND_SNAPSHOT, time=job.update_time, job=job), before)


def _write(ours: Session, event: Event, before: Job) -> None:
    if ours.json:
        write_json(event)
    else:
        click.echo(plain(f"{moment(event.time)}  {words(event, before)}").replace("\n", " "))


def words(event: Event, before: Job) -> str:
    """Returns what an event says, seen after the job as it was before."""
    job, kinds = event.job, EventKind
    match event.kind:
        case kinds.EVENT_KIND_CREATED:
            return "accepted"
        case kinds.EVENT_KIND_STARTED:
            return f"attempt {job.attempt} began"
        case kinds.EVENT_KIND_STAGE_CHANGED:
            stage = stage_name(job)
            task = f" as task {job.provider_task_id}" if job.provider_task_id != before.provider_task_id else ""
            return f"{stage.lower() or state_name(job).lower()}: {_STAGES.get(stage, 'it goes on')}{task}"
        case kinds.EVENT_KIND_PROGRESS:
            return f"{job.progress:.0%} is made"
        case kinds.EVENT_KIND_OUTPUT_ADDED:
            return "delivered " + ", ".join(output.asset for output in job.outputs[len(before.outputs) :])
        case kinds.EVENT_KIND_WARNING:
            return "; ".join(f"warning {each.code}: {each.message}" for each in job.warnings[len(before.warnings) :])
        case kinds.EVENT_KIND_CANCELLING:
            return "its cancellation was requested"
        case kinds.EVENT_KIND_NEEDS_ATTENTION:
            return f"needs attention: {job.error.message or 'it is not known whether a paid task exists'}"
        case kinds.EVENT_KIND_RESOLVED:
            return f"resolved, and goes on as {state_name(job)}"
    return _ending(job)


def _ending(job: Job) -> str:
    cost = credits_of(job)
    parts = [state_name(job), f"{cost} credits" if cost and job.HasField("charged_credits") else ""]
    parts.append(f"{job.error.message} ({job.error.reason})" if job.HasField("error") else "")
    return ", ".join(part for part in parts if part)
