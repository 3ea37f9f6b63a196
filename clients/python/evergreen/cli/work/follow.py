"""Follows jobs until they end or need attention, and reports the outcome of each."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager

from evergreen.cli.exits import ExitCode
from evergreen.cli.failures import unreachable
from evergreen.cli.output import plain, say
from evergreen.cli.reading.ids import whole_ids
from evergreen.cli.session import Session
from evergreen.cli.shown.display import Display, choose_display
from evergreen.cli.work.messages import json_line
from evergreen.cli.work.wording import credits_of, name, paths, state_name
from evergreen.errors import CallError, CursorLost, Unavailable, WatchInterrupted
from evergreen.specs import ALL_KINDS
from evergreen.v1.video_pb2 import CostBasis, Job, JobState, MediaKind, WatchProgressResponse
from evergreen.watch import is_final
from evergreen.wire import WireClient


class Follower:
    """Runs one watch for a user or a script: keeps in `jobs` what it has seen, and shows it.

    `with_paths` says whether stdout gets the paths of delivered files, or stderr.
    """

    def __init__(
        self,
        *,
        session: Session,
        project_id: str = "",
        job_ids: Sequence[str] = (),
        after_revision: int | None = None,
        include_finished: bool = False,
        kinds: Sequence[MediaKind.ValueType] = ALL_KINDS,
        with_paths: bool = True,
    ) -> None:
        self._session = session
        self._project_id = project_id
        self._job_ids = tuple(dict.fromkeys(job_ids))
        self._cursor = after_revision
        self._include_finished = include_finished
        self._kinds = kinds
        self._with_paths = with_paths
        self.jobs: dict[str, Job] = {}

    async def watch(self, client: WireClient) -> ExitCode:
        """Follows jobs by their whole or short ids. Raises Unavailable if the service does not answer to begin with."""
        self._job_ids = tuple(dict.fromkeys(await whole_ids(client, self._job_ids)))
        try:
            # A watch goes on for minutes while it cannot connect, which is right for one that has begun.
            await client.caller()
        except Unavailable as error:
            if not error.reason:
                raise
        except CallError:
            # What may be wrong with this call, on an old service or by a small token, is no matter of the watch.
            pass
        return await self.follow(client)

    async def follow(self, client: WireClient) -> ExitCode:
        """Watches until every job is final or needs attention, or a whole project until interrupted."""
        try:
            whole = "" if self._job_ids else self._project_id
            display = choose_display(json=self._session.json, project_id=whole)
            with display, _interruptions_told(display, self._session) as outage:
                await self._watch(client, display, outage)
        except (asyncio.CancelledError, WatchInterrupted):
            self._tell_how_to_resume()
            raise
        for job in self.jobs.values():
            if job.state == JobState.JOB_STATE_NEEDS_ATTENTION:
                tell_needs_attention(self._session, job)
        return self._exit_code()

    async def _watch(self, client: WireClient, display: Display, outage: "_Outage") -> None:
        if self._cursor is not None:
            # After a cursor, a job that already needed attention before it sends no more events.
            self.jobs = {job_id: await client.status(job_id) for job_id in self._job_ids}
        while True:
            watch = client.watch(
                project_id=self._project_id,
                job_ids=self._job_ids,
                after_revision=self._cursor,
                include_finished=self._include_finished,
                kinds=self._kinds,
            )
            try:
                async with aclosing(watch) as messages:
                    async for message in messages:
                        outage.over()
                        self._take(message, display)
                        if self._settled():
                            return
            except CursorLost as error:
                if self._cursor is None:
                    raise
                display.say(f"{error.message}: events may have been missed; continuing with the current state")
                self._cursor = None

    def _take(self, message: WatchProgressResponse, display: Display) -> None:
        if message.HasField("event"):
            job = message.event.job
            display.show(job)
            if self._session.json:
                display.data(json_line(message))
            elif is_final(job):
                display.say(ending(job))
                if job.outputs and self._with_paths:
                    display.data(plain("\n".join(paths(job))))
                elif job.outputs:
                    display.say("\n".join(paths(job)))
            self.jobs[job.job_id] = job
        self._cursor = max(self._cursor or 0, message.revision)

    def _settled(self) -> bool:
        jobs = [self.jobs[job_id] for job_id in self._job_ids if job_id in self.jobs]
        return 0 < len(jobs) == len(self._job_ids) and all(
            (is_final(job) or job.state == JobState.JOB_STATE_NEEDS_ATTENTION) and job.revision <= (self._cursor or 0)
            for job in jobs
        )

    def _exit_code(self) -> ExitCode:
        states = {job.state for job in self.jobs.values()}
        if JobState.JOB_STATE_NEEDS_ATTENTION in states:
            return ExitCode.NEEDS_ATTENTION
        return ExitCode.OK if states <= {JobState.JOB_STATE_SUCCEEDED} else ExitCode.JOB_FAILED

    def _tell_how_to_resume(self) -> None:
        unfinished = [job_id for job_id in self._job_ids if job_id not in self.jobs or not is_final(self.jobs[job_id])]
        chosen = " ".join(unfinished) or f"--project {self._project_id}"
        # A program needs every event; a user only needs the current state.
        after = f" --after {self._cursor}" if self._session.json and self._cursor is not None else ""
        say(f"The watch ended; its jobs continue. To resume: {self._session.command(f'job watch {chosen}{after}')}")


def ending(job: Job) -> str:
    """Returns the outcome and the cost of a final job, as one line."""
    cost = credits_of(job) if job.HasField("charged_credits") else ""
    basis = "at most " if job.cost_basis == CostBasis.COST_BASIS_UPPER_BOUND else ""
    parts = [name(job), state_name(job), f"{basis}{cost} credit{'' if cost == '1' else 's'}" if cost else ""]
    parts += [f"{job.error.message} ({job.error.reason})"] if job.HasField("error") else []
    parts += [f"warning: {warning.message} ({warning.code})" for warning in job.warnings]
    return "  ".join(part for part in parts if part)


def tell_needs_attention(session: Session, job: Job) -> None:
    """Explains how to resolve a job whose submission had no known outcome."""
    say(
        f"Job {job.job_id} needs attention: {job.error.message or 'it is not known whether a paid task exists'}\n"
        "Check in the provider's console, then choose:\n"
        f"  {session.command(f'job resolve {job.job_id} --attach TASK_ID')}  # the task exists: continue with it\n"
        f"  {session.command(f'job resolve {job.job_id} --resubmit')}  # it does not: try again\n"
        f"  {session.command(f'job resolve {job.job_id} --abandon')}  # give up the job"
    )


class _Outage(logging.Handler):
    """Counts how often and how long the service has not answered, from the client's log messages."""

    def __init__(self, display: Display, session: Session) -> None:
        super().__init__(logging.INFO)
        self._display = display
        self._session = session
        self._tries = 0
        self._began_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        self._began_at = self._began_at if self._tries else time.monotonic()
        self._tries += 1
        fault, why = getattr(record, "fault", None), str(getattr(record, "cause", ""))
        if isinstance(fault, Unavailable) and not fault.reason:
            why = unreachable(fault, self._session)
        self._display.lost(why, self._tries, time.monotonic() - self._began_at)

    def over(self) -> None:
        """Says that the service answers again, if it did not."""
        if self._tries:
            self._tries = 0
            self._display.back(time.monotonic() - self._began_at)


@contextmanager
def _interruptions_told(display: Display, session: Session) -> Iterator[_Outage]:
    """Shows the client's log messages about reconnecting."""
    logger, handler = logging.getLogger("evergreen.watch"), _Outage(display, session)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
