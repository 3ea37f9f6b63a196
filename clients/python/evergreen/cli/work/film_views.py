"""Shows films: their scenes, what they cost, how far they are."""

from collections.abc import Sequence

import click

from evergreen.cli.output import moment, number, say, write_facts, write_table
from evergreen.v1.film_pb2 import Film, FilmChanges, FilmScene
from evergreen.v1.video_pb2 import FilmGate, FilmStage, FilmState, FilmStatus


def write_films(films: Sequence[FilmStatus]) -> None:
    """Writes a row for each film."""
    rows = [(each.film_id, _state(each), str(each.plan_revision), moment(each.update_time)) for each in films]
    write_table(("FILM", "STATE", "PLAN", "UPDATED"), rows)


def write_film(shown: Film) -> None:
    """Writes the scenes of a plan, and what it costs."""
    write_table(
        ("SCENE", "NUMBER", "TITLE", "SHOTS", "LINES", "SECONDS"),
        [
            (
                each.scene.scene_id,
                each.scene.number,
                each.scene.title,
                str(len(each.scene.shots)),
                str(len(each.scene.lines)),
                number(sum(shot.seconds for shot in each.scene.shots)),
            )
            for each in shown.scenes
        ],
    )
    click.echo()
    quote, shots = shown.quote, _shots(shown.scenes)
    write_facts(
        [
            ("film", f"{shown.status.project_id}/{shown.status.film_id}"),
            ("title", shown.title),
            ("plan", str(shown.status.plan_revision)),
            ("scenes", str(len(shown.scenes))),
            ("shots", str(shots)),
            ("seconds", number(quote.seconds)),
            ("credits", f"≤ {number(quote.credits)}" if quote.HasField("credits") else "not known"),
            ("reused", number(quote.reused_credits) if quote.reused_credits else ""),
        ]
    )
    write_status(shown.status)


def write_status(status: FilmStatus) -> None:
    """Writes how far a film is, what it has cost, and what somebody must decide about."""
    # A service newer than this client may have others.
    stage = FilmStage.Name(status.stage) if status.stage in FilmStage.values() else str(status.stage)
    gate = FilmGate.Name(status.gate) if status.gate in FilmGate.values() else str(status.gate)
    made = (("pictures", status.images), ("speech", status.speech), ("clips", status.clips))
    write_facts(
        [
            ("state", _state(status)),
            ("run", str(status.run) if status.run else ""),
            ("stage", stage.removeprefix("FILM_STAGE_").lower() if status.stage else ""),
            ("waits at", gate.removeprefix("FILM_GATE_").lower() if status.gate else ""),
            *((name, f"{count.done + count.reused} of {count.total}") for name, count in made if count.total),
            ("spent", number(status.spent_credits)),
            ("up to", number(status.max_credits) if status.run else ""),
            ("error", f"{status.error.reason}: {status.error.message}" if status.error.reason else ""),
            *(("export", f"{status.film_id}/{export.asset}") for export in status.exports),
        ]
    )
    for trouble in status.troubles:
        say(f"{trouble.shot_id} {trouble.output}: {trouble.error.reason}: {trouble.error.message}")
    for warning in status.warnings:
        say(f"{warning.code}: {warning.message}")


def write_changes(changes: FilmChanges) -> None:
    """Writes what a plan changed."""
    told = [
        (name, ids)
        for name, ids in (("added", changes.added), ("changed", changes.changed), ("removed", changes.removed))
        if ids
    ]
    write_facts([(name, f"{len(ids)} scenes") for name, ids in told])


def _shots(scenes: Sequence[FilmScene]) -> int:
    return sum(len(each.scene.shots) for each in scenes)


def _state(status: FilmStatus) -> str:
    known = status.state in FilmState.values()
    return FilmState.Name(status.state).removeprefix("FILM_STATE_") if known else str(status.state)
