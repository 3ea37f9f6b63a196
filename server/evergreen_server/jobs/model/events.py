"""The events that a change of a job makes for its watchers."""

from dataclasses import replace

from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import EventKind, State


def events_between(old: Job, new: Job) -> list[tuple[EventKind, Job]]:
    """Returns what happened between two values of a job, in order, each with the job as it then was.

    A warning or an output that comes together with a change of state precedes it, so that the last event always
    carries the last state.
    """
    events: list[tuple[EventKind, Job]] = []
    step = old
    if new.warnings != old.warnings:
        step = replace(step, warnings=new.warnings)
        events.append((EventKind.WARNING, step))
    if len(new.outputs) > len(old.outputs):
        step = replace(step, outputs=new.outputs)
        events.append((EventKind.OUTPUT_ADDED, step))
    if new.state != old.state:
        events.append((_kind_of_transition(old.state, new.state), new))
    elif (new.stage, new.attempt) != (old.stage, old.attempt) and new.state is not State.CANCELLING:
        events.append((EventKind.STAGE_CHANGED, new))
    elif new.progress != old.progress:
        events.append((EventKind.PROGRESS, new))
    elif events:
        events[-1] = (events[-1][0], new)
    return events


def _kind_of_transition(old: State, new: State) -> EventKind:
    if old is State.NEEDS_ATTENTION and new is not State.FAILED:
        return EventKind.RESOLVED
    if new is State.RUNNING:
        return EventKind.STARTED
    if new is State.QUEUED:
        return EventKind.STAGE_CHANGED
    return EventKind(new.value)
