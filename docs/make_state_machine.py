"""Writes the page on a job's states in Markdown, from the transitions and the table of what may follow what.

Run by `make docs`; the page goes to stdout.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping

from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.states import FINAL, MOVES, State

HEAD = """# States of a job

<!-- Generated from server/evergreen_server/jobs/model/transitions.py by `make docs`. Edit that, not this file. -->

A job is in one state. Every change of it is one of the transitions below, a pure function that the store runs within a
transaction, on the job as its row has it. What the table of states does not allow, the store refuses
(`server/evergreen_server/jobs/model/states.py:MOVES`). What each state and stage means to callers is in
[reference.md](reference.md#jobstate).
"""

MARKED: Mapping[str, Mapping[State, frozenset[State]]] = {
    name: vars(function)["moves"]
    for name, function in vars(transitions).items()
    if inspect.isfunction(function) and "moves" in vars(function)
}


def page() -> str:
    """Returns the whole page."""
    return "\n".join([HEAD, *_diagram(), "", *_changes(), "", *_transitions(), ""])


def _edges() -> Iterator[tuple[State, State]]:
    """Yields each pair of states of which the second may follow the first."""
    yield from ((old, new) for old in State for new in State if new is not old and new in MOVES[old])


def _diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {State.QUEUED}"
    yield from (f"    {old} --> {new}" for old, new in _edges())
    yield from (f"    {state} --> [*]" for state in State if state in FINAL)
    yield "```"


def _changes() -> Iterator[str]:
    yield "## Which transitions change the state"
    yield ""
    yield "| from | to | by |"
    yield "|---|---|---|"
    for old, new in _edges():
        by = (f"`{name}`" for name, moves in MARKED.items() if new in moves.get(old, ()))
        yield f"| `{old}` | `{new}` | {', '.join(by)} |"


def _transitions() -> Iterator[str]:
    yield "## Every transition"
    yield ""
    yield "In the order of the file. Where the state stays, the stage changes, or what is known of the job."
    yield ""
    yield "| transition | moves | when |"
    yield "|---|---|---|"
    for name, moves in MARKED.items():
        text = " ".join((inspect.getdoc(getattr(transitions, name)) or "").split()).removeprefix("Transition: ")
        yield f"| `{name}` | {_moves(moves)} | {text[:1].upper()}{text[1:]} |"


def _moves(moves: Mapping[State, Iterable[State]]) -> str:
    pairs = ((old, new) for old in State for new in State if new in moves.get(old, ()))
    return "<br>".join(f"`{old}` stays" if new is old else f"`{old}` → `{new}`" for old, new in pairs)


if __name__ == "__main__":
    sys.stdout.write(page())
