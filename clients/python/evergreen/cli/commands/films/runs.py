"""`evergreen film start|watch|approve|cancel`: makes films, for a sum that is confirmed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from evergreen.cli.commands.assets import project_option
from evergreen.cli.commands.films.options import film_option, watch_option, yes_option
from evergreen.cli.output import number, write_json
from evergreen.cli.session import Session, global_options, session
from evergreen.cli.verbs import verb

if TYPE_CHECKING:
    from evergreen.v1.film_pb2 import Film


@verb(
    examples=(
        "evergreen film start --project film --film lamp --max-credits 205 --gate storyboard --watch",
        "evergreen film start --project film --film lamp --max-credits 205 --on-failure still --yes",
    )
)
@project_option
@film_option
@click.option("--max-credits", type=click.FloatRange(min=0), required=True, help="The most that all of it may cost.")
@click.option(
    "--gate", "gates", multiple=True, type=click.Choice(["storyboard", "clips"]), help="Wait for approval there."
)
@click.option("--stop-after", type=click.Choice(["storyboard", "clips"]), help="Make no more than this. Default: all.")
@click.option(
    "--redo",
    type=click.Choice(["changed", "content-changed", "missing"]),
    default="changed",
    help="What is made anew. Default: changed.",
)
@click.option(
    "--on-failure",
    type=click.Choice(["ask", "still", "last-good", "skip", "fail"]),
    default="ask",
    help="What becomes of a shot that cannot be made. Default: ask.",
)
@click.option("--attempts", type=click.IntRange(1, 10), default=1, help="Attempts for each job. Default: 1.")
@click.option("--request-id", default="", metavar="ID", help="Repeating the command with the same id starts one run.")
@yes_option
@watch_option
@global_options()
@click.pass_context
def start(
    context: click.Context,
    project: str,
    film_id: str,
    max_credits: float,
    gates: tuple[str, ...],
    stop_after: str | None,
    redo: str,
    on_failure: str,
    attempts: int,
    request_id: str,
    yes: bool,
    watched: bool,
) -> None:
    """Make a film by its newest plan, for at most --max-credits."""
    from evergreen.v1.film_pb2 import FilmRedo, OnShotFailure
    from evergreen.v1.video_pb2 import FilmGate, FilmStage

    ours = session(context)
    planned = ours.run(lambda client: client.films.get(project, film_id))
    quote = f"≤ {number(planned.quote.credits)}" if planned.quote.HasField("credits") else "an unknown sum"
    _confirm(yes, f"{project}/{film_id} takes {quote} credits. Spend up to {number(max_credits)}?")
    stage = FilmStage.Value(f"FILM_STAGE_{stop_after.upper()}") if stop_after else FilmStage.FILM_STAGE_UNSPECIFIED
    begun = ours.run(
        lambda client: client.films.start(
            project,
            film_id,
            plan_revision=planned.status.plan_revision,
            max_credits=max_credits,
            gates=[FilmGate.Value(f"FILM_GATE_{gate.upper()}") for gate in gates],
            stop_after=stage,
            redo=FilmRedo.Value(f"FILM_REDO_{_name(redo)}"),
            on_shot_failure=OnShotFailure.Value(f"ON_SHOT_FAILURE_{_name(on_failure)}"),
            max_attempts=attempts,
            request_id=request_id,
        )
    )
    end(ours, begun, watched=watched)


@verb(examples=("evergreen film watch --project film --film lamp",))
@project_option
@film_option
@global_options()
@click.pass_context
def watch(context: click.Context, project: str, film_id: str) -> None:
    """Follow a film until its run is over or waits for somebody."""
    ours = session(context)
    end(ours, ours.run(lambda client: client.films.get(project, film_id)), watched=True)


@verb(examples=("evergreen film approve --project film --film lamp --watch",))
@project_option
@film_option
@click.option("--max-credits", type=click.FloatRange(min=0), help="A new sum for all of the run. Default: as it is.")
@yes_option
@watch_option
@global_options()
@click.pass_context
def approve(
    context: click.Context, project: str, film_id: str, max_credits: float | None, yes: bool, watched: bool
) -> None:
    """Have a film go on that waits at a gate, or that asks about what failed."""
    ours = session(context)
    status = ours.run(lambda client: client.films.get(project, film_id)).status
    sum_of_all = status.max_credits if max_credits is None else max_credits
    spent = number(status.spent_credits)
    _confirm(yes, f"{project}/{film_id} has spent {spent} credits. Spend up to {number(sum_of_all)} in all?")
    end(ours, ours.run(lambda client: client.films.approve(status, max_credits=sum_of_all)), watched=watched)


@verb(examples=("evergreen film cancel --project film --film lamp",))
@project_option
@film_option
@global_options()
@click.pass_context
def cancel(context: click.Context, project: str, film_id: str) -> None:
    """Cancel the run of a film. What was made stays."""
    ours = session(context)
    status = ours.run(lambda client: client.films.get(project, film_id)).status
    _write(ours, ours.run(lambda client: client.films.cancel(project, film_id, status.run)))


def end(ours: Session, film: Film, *, watched: bool) -> None:
    """Writes a film, after its run has come to an end or waits if it is watched; exits by what it came to."""
    from evergreen.cli.work.film_views import write_status
    from evergreen.cli.work.follow_film import exit_code, follow_film

    if not watched:
        _write(ours, film)
        return
    status = film.status
    seen = ours.run(lambda client: follow_film(client, ours, status.project_id, status.film_id))
    if not ours.json:
        write_status(seen.status)
    if code := exit_code(ours, seen.status):
        sys.exit(code)


def _confirm(yes: bool, question: str) -> None:
    if not yes:
        # On stderr, like all messages; without a terminal, the answer is no.
        click.confirm(question, abort=True, err=True)


def _name(choice: str) -> str:
    return choice.upper().replace("-", "_")


def _write(ours: Session, shown: Film) -> None:
    from evergreen.cli.work.film_views import write_status

    if ours.json:
        write_json(shown)
    else:
        write_status(shown.status)
