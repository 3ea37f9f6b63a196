"""What one socket follows: projects, each in a task of its own."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from evergreen_server.gateway.live.following import Following
from evergreen_server.gateway.live.frames import MOST_FILMS, MOST_JOBS, Subscribe, Unsubscribe
from evergreen_server.gateway.live.hub import Draining, Hub
from evergreen_server.gateway.live.items import film_of, subject_of_film
from evergreen_server.gateway.live.lookup import project_of
from evergreen_server.gateway.live.speech import MOST_PROJECTS
from evergreen_server.gateway.live.wishes import Reader, Wish
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Fault, Refused, internal, invalid, refused
from evergreen_server.gateway.visitors import Visitor

__all__ = ["Subscriptions"]

DRAIN_SECONDS = 1.0


class Subscriptions:
    """The projects of one socket. `lost` is called with a project that can be followed no further, and why."""

    __slots__ = ("_followed", "_hub", "_lost", "_places", "_reader", "_tasks")

    def __init__(
        self,
        *,
        hub: Hub,
        places: Places,
        reader: Reader,
        tasks: asyncio.TaskGroup,
        lost: Callable[[str, Fault], Awaitable[None]],
    ) -> None:
        self._hub = hub
        self._places = places
        self._reader = reader
        self._tasks = tasks
        self._lost = lost
        self._followed: dict[str, tuple[Following, asyncio.Task[None]]] = {}

    @property
    def followed(self) -> int:
        """Returns how many projects are followed."""
        return len(self._followed)

    async def add(self, visitor: Visitor, frame: Subscribe) -> None:
        """Follows more. Raises Refused."""
        project_id = frame.project_id or await project_of(self._hub, self._places, visitor, frame.job_ids[0])
        known = self._followed.get(project_id)
        if known is not None:
            following, _ = known
        elif len(self._followed) >= MOST_PROJECTS:
            raise refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "QUEUE_FULL",
                message=f"a socket may follow {MOST_PROJECTS} projects; unsubscribe from some, or open another",
            )
        else:
            following = Following(hub=self._hub, visitor=visitor, project_id=project_id, reader=self._reader)
        wish = Wish(
            job_ids=frame.job_ids,
            film_ids=frame.film_ids,
            after=frame.after,
            include_finished=frame.include_finished,
            kinds=frame.kinds,
        )
        named = {*following.named, *wish.named}
        films = sum(film_of(subject) is not None for subject in named)
        for name, number, most in (("jobIds", len(named) - films, MOST_JOBS), ("filmIds", films, MOST_FILMS)):
            if number > most:
                raise invalid(name, f"at most {most} of a project on one socket")
        following.add(wish)
        if known is None:
            task = self._tasks.create_task(self._follow(following), name="following")
            self._followed[project_id] = following, task

    def drop(self, frame: Unsubscribe) -> None:
        """Follows less."""
        named = [*frame.job_ids, *map(subject_of_film, frame.film_ids)]
        for project_id, (following, task) in list(self._followed.items()):
            if frame.project_id not in ("", project_id):
                continue
            if named:
                following.drop(named)
            else:
                following.drop_project()
            if following.empty:
                del self._followed[project_id]
                task.cancel()

    def drain(self) -> None:
        """Ends each with its checkpoint; `end` waits for that."""
        for following, _ in self._followed.values():
            following.drain()

    async def end(self, *, drained: bool) -> None:
        """Ends all of them."""
        tasks = [task for _, task in self._followed.values()]
        if drained and tasks:
            await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        for task in tasks:
            task.cancel()

    async def _follow(self, following: Following) -> None:
        try:
            await following.run()
        except (Draining, ConnectionError):
            pass
        except Refused as exc:
            await self._lost(following.project_id, exc.fault)
        except Exception as exc:
            await self._lost(following.project_id, internal(exc))
        finally:
            known = self._followed.get(following.project_id)
            if known is not None and known[0] is following:
                del self._followed[following.project_id]
