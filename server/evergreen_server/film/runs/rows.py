"""Runs and outputs to rows and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from evergreen_server.film.digests import Basis, Member, Redo
from evergreen_server.film.model import FilmWarning, OnShotFailure, OutputKind, output_key
from evergreen_server.film.runs.deciding import FilmGate, FilmStage
from evergreen_server.film.runs.run import Approval, FilmRun, RunKind, RunState, RunTrouble, Terms
from evergreen_server.film.runs.tally import Count, Tally
from evergreen_server.jobs.db.mapping import from_micros, to_micros
from evergreen_server.jobs.model.held import Held
from evergreen_server.jobs.model.job import JobFailure
from evergreen_server.jobs.model.states import OnUnknownSubmission, Slot
from evergreen_server.ports.timeline import Captions, Fit, Profile, Source

__all__ = ["FilmOutput", "output_of", "run_of", "run_row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmOutput:
    """One take of an output: what its job was asked for, and what came of it."""

    digest: str
    item_id: str
    kind: OutputKind
    base: str
    basis: Basis
    take: int
    run: int
    job_id: str
    scene_id: str
    source: Source | None = None
    """None until the file is there and was read."""
    size_bytes: int | None = None
    seconds: float | None = None
    millicredits: int | None = None

    @property
    def key(self) -> str:
        return output_key(self.item_id, self.kind)


def output_of(row: sa.RowMapping) -> FilmOutput:
    """Returns the output of a row of `film_outputs`."""
    asset = row["asset"]
    return FilmOutput(
        digest=row["digest"],
        item_id=row["item_id"],
        kind=OutputKind(row["output"]),
        base=row["base"],
        basis={Member(member): value for member, value in row["basis"].items()},
        take=row["take"],
        run=row["run"],
        job_id=row["job_id"],
        scene_id=row["scene_id"],
        source=Source(scene_id=row["scene_id"], asset=asset, sha256=row["sha256"]) if asset else None,
        size_bytes=row["size_bytes"],
        seconds=row["seconds"],
        millicredits=row["millicredits"],
    )


def run_row(run: FilmRun) -> dict[str, object]:
    """Returns the columns of a run."""
    terms, money = run.terms, run.money
    return {
        "project_id": run.project_id,
        "film_id": run.film_id,
        "run": run.run,
        "approved_millicredits": money.approved,
        "held_millicredits": money.held,
        "reserved_millicredits": money.reserved,
        "spent_millicredits": money.spent,
        "keeps": money.keeps,
        "kind": run.kind.value,
        "plan_revision": run.plan_revision,
        "terms": {
            "redo": terms.redo.value,
            "gates": sorted(terms.gates),
            "on_failure": terms.on_failure.value,
            "max_attempts": terms.max_attempts,
            "on_unknown_submission": terms.on_unknown_submission.value,
            "priority": terms.priority,
            "stop_after": terms.stop_after.value if terms.stop_after else None,
            "profiles": [asdict(profile) for profile in terms.profiles],
        },
        "passed": sorted(run.passed),
        "takes": dict(run.takes),
        "approval": asdict(run.approval) if run.approval else None,
        "finish_by": to_micros(run.finish_by) if run.finish_by else None,
        "state": run.state.value,
        "stage": run.stage.value,
        "gate": run.gate.value if run.gate else None,
        "revision": run.revision,
        "leg": run.leg,
        "execution": run.execution,
        "replica": run.replica,
        "troubles": [asdict(trouble) for trouble in run.troubles],
        "warnings": [asdict(warning) for warning in run.warnings],
        "error": asdict(run.error) if run.error else None,
        "tally": {
            "counts": {kind.value: asdict(count) for kind, count in run.tally.counts.items()},
            "share": run.tally.share,
        },
        "frames": run.frames,
        "frames_done": run.frames_done,
        "exports": list(run.exports),
        "published": run.published,
        "traceparent": run.traceparent or None,
        "slot": run.slot.value if run.slot else None,
        "slot_at": to_micros(run.slot_at) if run.slot_at else None,
        "created_at": to_micros(run.created_at),
        "updated_at": to_micros(run.updated_at),
        "ended_at": to_micros(run.ended_at) if run.ended_at else None,
    }


def run_of(row: sa.RowMapping) -> FilmRun:
    """Returns the run of a row of `film_runs`."""
    terms = row["terms"]
    return FilmRun(
        project_id=row["project_id"],
        film_id=row["film_id"],
        run=row["run"],
        kind=RunKind(row["kind"]),
        plan_revision=row["plan_revision"],
        terms=Terms(
            redo=Redo(terms["redo"]),
            gates=frozenset(map(FilmGate, terms["gates"])),
            on_failure=OnShotFailure(terms["on_failure"]),
            max_attempts=terms["max_attempts"],
            on_unknown_submission=OnUnknownSubmission(terms["on_unknown_submission"]),
            priority=terms["priority"],
            stop_after=FilmStage(terms["stop_after"]) if terms["stop_after"] else None,
            profiles=tuple(map(_profile, terms["profiles"])),
        ),
        money=Held(
            approved=row["approved_millicredits"],
            held=row["held_millicredits"],
            reserved=row["reserved_millicredits"],
            spent=row["spent_millicredits"],
            keeps=row["keeps"],
        ),
        passed=frozenset(map(FilmGate, row["passed"])),
        takes=row["takes"],
        approval=Approval(**row["approval"]) if row["approval"] else None,
        finish_by=from_micros(row["finish_by"]) if row["finish_by"] is not None else None,
        state=RunState(row["state"]),
        stage=FilmStage(row["stage"]),
        gate=FilmGate(row["gate"]) if row["gate"] else None,
        revision=row["revision"],
        leg=row["leg"],
        execution=row["execution"],
        replica=row["replica"],
        troubles=tuple(RunTrouble(**trouble) for trouble in row["troubles"]),
        warnings=tuple(FilmWarning(**warning) for warning in row["warnings"]),
        error=JobFailure(**row["error"]) if row["error"] else None,
        tally=Tally(
            counts={OutputKind(kind): Count(**count) for kind, count in row["tally"]["counts"].items()},
            share=row["tally"]["share"],
        ),
        frames=row["frames"],
        frames_done=row["frames_done"],
        exports=tuple(row["exports"]),
        published=row["published"],
        traceparent=row["traceparent"] or "",
        slot=Slot(row["slot"]) if row["slot"] else None,
        slot_at=from_micros(row["slot_at"]) if row["slot_at"] is not None else None,
        created_at=from_micros(row["created_at"]),
        updated_at=from_micros(row["updated_at"]),
        ended_at=from_micros(row["ended_at"]) if row["ended_at"] is not None else None,
    )


def _profile(values: Mapping[str, Any]) -> Profile:
    return Profile(**{**values, "fit": Fit(values["fit"]), "captions": Captions(values["captions"])})
