"""Errors of requests about jobs: a small tree under JobError."""

from evergreen_server.jobs.model.job import Job


class JobError(Exception):
    """Something about a job is not as the caller expects."""


class JobNotFound(JobError):
    """No such job."""


class RequestReused(JobError):
    """The request_id was used before, with another body."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"request_id was used before with another request, for job {job_id}")
        self.job_id = job_id


class JobDeleted(JobError):
    """The request made a job that ended long ago and is no longer kept."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"the request made job {job_id}, which ended long ago and is no longer kept")
        self.job_id = job_id


class Superseded(JobError):
    """A newer execution owns this job."""


class WrongState(JobError):
    """The job's state does not allow this."""

    def __init__(self, job: Job, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.job = job
        self.reason = reason
