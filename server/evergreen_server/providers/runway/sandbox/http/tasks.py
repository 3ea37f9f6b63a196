"""Tasks as the API shows them, and how they are cancelled or forgotten."""

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.http.answers import Answer, no_task
from evergreen_server.providers.runway.sandbox.http.outputs import Signer
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Route
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.clock import timestamp
from evergreen_server.providers.runway.sandbox.state.tasks import Task, credits_of

__all__ = ["Tasks"]


class Tasks:
    """Answers /v1/tasks/{id}."""

    def __init__(self, *, books: Books, signer: Signer) -> None:
        self._books = books
        self._signer = signer

    def routes(self) -> list[Route]:
        path = "/v1/tasks/{task_id}"
        return [
            Route(operation="get_task", method="GET", path=path, handler=self._get),
            Route(operation="delete_task", method="DELETE", path=path, handler=self._delete),
        ]

    def outputs(self, task: Task, asked: Asked) -> list[str]:
        """Returns a URL for each file of a task that succeeded, signed anew."""
        record, life = task.record, asked.settings.url_life_seconds
        folder = f"{asked.origin}/outputs/{record.id}"
        return [self._signer.url(f"{folder}/{name}", record.id, now=asked.now, life=life) for name in record.files]

    async def _get(self, asked: Asked) -> Answer:
        settings, now = asked.settings, asked.now
        task = self._books.task(asked.parts["task_id"], now)
        if task is None or (task.deleted_at is not None and not (task.cancelled and settings.show_cancelled)):
            return no_task()
        record, status = task.record, task.status(now)
        body: dict[str, Json] = {"id": record.id, "createdAt": timestamp(record.created_at), "status": status}
        match status:
            case "SUCCEEDED":
                body["output"] = [*self.outputs(task, asked)]
            case "FAILED":
                assert record.failure is not None
                body["failure"] = record.failure.message
                if record.failure.code is not None:
                    body["failureCode"] = record.failure.code
            case "RUNNING":
                body["progress"] = task.progress(now, shape=settings.progress, every=settings.progress_every_seconds)
        if status in {"SUCCEEDED", "FAILED", "CANCELLED"}:
            body["cost"] = {"credits": credits_of(task.charged)}
        else:
            body["estimatedCost"] = {"credits": credits_of(record.estimate)}
        return Answer(status=200, body=body, task_id=record.id)

    async def _delete(self, asked: Asked) -> Answer:
        task = self._books.task(asked.parts["task_id"], asked.now)
        if task is None or task.deleted_at is not None:
            return no_task()
        self._books.delete(task, asked.now)
        return Answer(status=204, task_id=task.record.id)
