"""What the events of a job contain of its row: half of the columns, which take half as long to read."""

from collections.abc import Mapping
from typing import Any

from evergreen_server.jobs.db.mapping import job_from_row
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import OnUnknownSubmission

_LEFT_OUT: Mapping[str, object] = {
    **{"digest": "", "priority": 0, "max_attempts": 1, "on_unknown_submission": OnUnknownSubmission.ASK.value},
    **{"max_millicredits": None, "start_by": 0, "finish_by": None},
    **{"run": 0, "replica": "", "slot": None, "not_before": None, "submit_token": "", "submitted_at": None},
    **{"delete_sent": False, "charge_basis": None, "inputs": (), "pins": None},
}
"""Columns that no event contains, with what stands for each in the job of the event."""
_SPEC = ("spec", "spec_more", "duration_seconds")
EVENT_COLUMNS = [column for column in jobs.c if column.name not in (*_LEFT_OUT, *_SPEC)]


def job_of_event(row: Mapping[str, Any]) -> Job:
    """Returns the job of a row with these columns, as far as an event tells of it."""
    return job_from_row({**_LEFT_OUT, **row})
