"""The calls that create a task, and what faults see of their bodies."""

from collections.abc import Mapping

from evergreen_server.providers.runway.catalog.models import Json, Operation, path_of
from evergreen_server.providers.runway.sandbox.generation.asked import inside, text_of
from evergreen_server.providers.runway.sandbox.generation.creation import Creation
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.faults import CREATES, Fault, Script, Target
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Handler, Route

__all__ = ["create_routes", "model_in", "plan_of", "prompt_in"]


def create_routes(creation: Creation) -> list[Route]:
    """Returns a row for each operation that creates a task from one body."""

    def answers(operation: Operation) -> Handler:
        async def create(asked: Asked) -> Answer:
            return await creation.create(operation, asked.body, asked.digest, asked.settings, asked.plan)

        return create

    return [
        Route(operation=name, method="POST", path=f"/v1/{path_of(Operation(name))}", handler=answers(Operation(name)))
        for name in CREATES
    ]


def plan_of(script: Script, operation: str, body: Mapping[str, Json]) -> tuple[Fault, ...]:
    """Returns the scripted faults of a task that another call makes."""
    target = Target(
        operation=operation, method="POST", path=f"/v1/{operation}", model=model_in(body), prompt=prompt_in(body)
    )
    return script.inject(target, answered=False).plan


def model_in(body: Mapping[str, Json]) -> str | None:
    """Returns the model that a body names."""
    model = body.get("model")
    return model if isinstance(model, str) else None


def prompt_in(body: Mapping[str, Json]) -> str | None:
    """Returns the text that a task is made from."""
    return text_of(body) or text_of(inside(body, "input")) or None
