"""Guards, each with a change that takes it away, and the tests of which one at least must fail then."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A guard that is gone. `old` stands once in the file, and `new` in its place; `tests` are pytest's names."""

    guard: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


JOBS = "server/evergreen_server/jobs"
SLOTS = "tests/jobs/admission/test_slots.py"
ORPHANS = "tests/jobs/execution/test_orphans.py"

MUTANTS = (
    Mutant(
        guard="an execution that lost its job changes nothing",
        path=f"{JOBS}/store/jobs.py",
        old="            if current.fencing_token != fencing_token:",
        new="            if False:",
        tests=("tests/jobs/store/test_claims.py::test_of_two_that_begin_a_job_the_later_one_owns_it",),
    ),
    Mutant(
        guard="a run that is over begins nothing",
        path=f"{JOBS}/model/transitions.py",
        old="or (job.attempt, job.restarts) != (claim.attempt, claim.restarts)",
        new="or False",
        tests=("tests/jobs/store/test_claims.py", "-k", "sqlite"),
    ),
    Mutant(
        guard="a request_id is good for one body",
        path=f"{JOBS}/store/reader.py",
        old='    if known["digest"] != digest:',
        new="    if False:",
        tests=(
            "tests/rpc/test_request_id.py::test_another_body_is_refused_naming_the_first_job_before_anything_else_is_judged",
        ),
    ),
    Mutant(
        guard="a project stays under its cap",
        path=f"{JOBS}/store/ledger.py",
        old="    if totals.reserved + totals.spent + estimate > cap:",
        new="    if totals.spent + estimate > cap:",
        tests=("tests/jobs/store/test_money.py::test_a_project_gets_no_more_jobs_than_its_cap_pays[sqlite]",),
    ),
    Mutant(
        guard="no more tasks at once than the tier allows",
        path=f"{JOBS}/admission/slots.py",
        old="free = min(BATCH, limits.concurrent - int(db.execute(held).scalar_one()))",
        new="free = min(BATCH, limits.concurrent)",
        tests=(f"{SLOTS}::test_replicas_that_grant_at_once_never_grant_too_much[sqlite]",),
    ),
    Mutant(
        guard="between projects there are turns",
        path=f"{JOBS}/admission/slots.py",
        old=".order_by(jobs.c.model, turn, served, jobs.c.job_id)",
        new=".order_by(jobs.c.model, jobs.c.priority.desc(), turn, served, jobs.c.job_id)",
        tests=(f"{SLOTS}::test_a_flood_of_the_highest_priority_does_not_hold_back_another_projects_job[sqlite-1]",),
    ),
    Mutant(
        guard="the project that was served longest ago goes next",
        path=f"{JOBS}/admission/slots.py",
        old=".order_by(jobs.c.model, turn, served, jobs.c.job_id)",
        new=".order_by(jobs.c.model, turn, jobs.c.job_id)",
        tests=(f"{SLOTS}::test_with_a_single_slot_projects_take_turns[sqlite]",),
    ),
    Mutant(
        guard="what failed a moment ago rests",
        path=f"{JOBS}/admission/slots.py",
        old="ready = sa.or_(jobs.c.not_before.is_(None), sa.not_(resting))",
        new="ready = sa.true()",
        tests=(f"{SLOTS}::test_what_failed_a_moment_ago_holds_nobody_up[sqlite]",),
    ),
    Mutant(
        guard="what the balance cannot pay waits",
        path=f"{JOBS}/admission/funds.py",
        old="    return sa.or_(jobs.c.estimated_millicredits.is_(None), jobs.c.estimated_millicredits <= millicredits)",
        new="    return sa.true()",
        tests=(f"{SLOTS}::test_only_what_costs_more_than_the_balance_waits[sqlite]",),
    ),
    Mutant(
        guard="what was spent since the balance was told counts",
        path=f"{JOBS}/admission/funds.py",
        old="    return latest.balance - int(db.execute(spent).scalar_one()) - int(db.execute(coming).scalar_one())",
        new="    return latest.balance",
        tests=(f"{SLOTS}::test_what_was_granted_since_the_balance_was_told_counts[sqlite]",),
    ),
    Mutant(
        guard="one project does not fill the queue for all",
        path=f"{JOBS}/store/backlog.py",
        old="            if own >= self._limit - self._waiting:\n                raise",
        new="            if self._waiting >= self._limit:\n                raise",
        tests=(f"{SLOTS}::test_one_project_never_fills_the_queue_for_another[sqlite]",),
    ),
    Mutant(
        guard="one alone does not hold all places",
        path="server/evergreen_server/runtime/turns.py",
        old="            if self._held[owner] >= self._free:",
        new="            if False:",
        tests=("tests/runtime/test_turns.py",),
    ),
    Mutant(
        guard="an orphan is attached to the intent that made it alone",
        path=f"{JOBS}/store/provider_tasks.py",
        old="            if waits:\n                role = TaskRole.OWN",
        new="            if not job.final:\n                role = TaskRole.OWN",
        tests=(f"{ORPHANS}::test_after_a_resubmission_a_late_task_is_deleted_and_told_of",),
    ),
    Mutant(
        guard="orphans are settled a few at a time",
        path=f"{JOBS}/execution/orphans.py",
        old="            for _ in range(AT_ONCE):",
        new="            for _ in orphans:",
        tests=(f"{ORPHANS}::test_orphans_that_nobody_answers_about_hold_up_neither_each_other_nor_another_projects",),
    ),
    Mutant(
        guard="a lease that ran out meanwhile is no lease",
        path=f"{JOBS}/cluster/lease.py",
        old="            if not self.live or self._held_since != held_since:",
        new="            if not self.live:",
        tests=(
            "tests/jobs/cluster/test_leases.py::test_what_was_meant_before_a_lease_ran_out_is_not_sent_after_it_is_renewed",
        ),
    ),
    Mutant(
        guard="nobody else takes the names of jobs",
        path=f"{JOBS}/model/names.py",
        old="    return bool(job_of(path) or _OF_FILM.fullmatch(path))",
        new="    return False",
        tests=("tests/hostile/test_names.py",),
    ),
    Mutant(
        guard="a clock set back does not prolong the look for a task",
        path=f"{JOBS}/execution/submit.py",
        old="        if context.seconds_until(deadline) <= 0 or context.monotonic() >= latest:",
        new="        if context.seconds_until(deadline) <= 0:",
        tests=("tests/jobs/execution/test_adopting.py",),
    ),
    Mutant(
        guard="what is committed while the first watch opens is told at once",
        path=f"{JOBS}/feed/hub.py",
        old="            self._dirty.add(project_id)\n",
        new="            pass\n",
        tests=("tests/jobs/feed/test_hub_many.py::test_what_is_committed_while_the_first_watch_opens_is_told_at_once",),
    ),
    Mutant(
        guard="a job in a wrong state does not move",
        path=f"{JOBS}/store/jobs.py",
        old="        if new.state not in MOVES[old.state]:",
        new="        if False:",
        tests=("tests/jobs/model/test_states.py",),
    ),
    Mutant(
        guard="a caller is given no project of others",
        path=f"{JOBS}/store/projects.py",
        old="    if owned is None:",
        new="    if True:",
        tests=("tests/jobs/store/test_projects.py", "-k", "very_many and sqlite"),
    ),
    Mutant(
        guard="a project counts no job that was removed",
        path=f"{JOBS}/maintenance/retention.py",
        old="**{name: number * by for name, by in moved(State(state), None).items()}",
        new="**{name: 0 for name in moved(State(state), None)}",
        tests=("tests/jobs/store/test_projects.py", "-k", "removed and sqlite"),
    ),
    Mutant(
        guard="a page token is good for its own filters",
        path="server/evergreen_server/rpc/messages/listing.py",
        old="    if rest != [False, [], [], [None, None]]:",
        new="    if False:",
        tests=("tests/rpc/test_bad_questions.py::test_a_page_token_of_one_filter_is_refused_by_every_other",),
    ),
    Mutant(
        guard="no filter looks at all jobs",
        path=f"{JOBS}/store/listing.py",
        old="or looked == most",
        new="or False",
        tests=("tests/jobs/store/test_reader.py", "-k", "ends_early and sqlite"),
    ),
)
