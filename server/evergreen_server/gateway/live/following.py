"""One socket or stream that follows one project, wholly or some of its jobs: a place in the topic's window and a flag.

It joins by the topic's own state, by a cursor within the window, or by a watch of its own until the window covers what
that has sent; so it also comes back when it was so slow that the window has moved on.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace

import grpc

from evergreen_server.gateway.live.hub import Draining, Hub
from evergreen_server.gateway.live.items import Item, checkpoint_item, gap_item, item_of, select
from evergreen_server.gateway.live.own import own_watch
from evergreen_server.gateway.live.sleeping import Sleeper
from evergreen_server.gateway.live.topics import Topic
from evergreen_server.gateway.live.windows import AT_ONCE
from evergreen_server.gateway.live.wishes import Reader, Wish, request_of
from evergreen_server.gateway.problems import Fault, Refused
from evergreen_server.gateway.visitors import Visitor

__all__ = ["Following"]


class Following:
    """Follows one project for one reader. `lived` is whether a wish was met. Used on one loop."""

    __slots__ = (
        *("_checked", "_floor", "_gap", "_hub", "_jobs", "_place", "_reader", "_revision", "_sleeper", "_topic"),
        *("_visitor", "_whole", "_wishes", "lived", "project_id"),
    )

    def __init__(self, *, hub: Hub, visitor: Visitor, project_id: str, reader: Reader) -> None:
        self.project_id = project_id
        self.lived = False
        self._hub = hub
        self._visitor = visitor
        self._reader = reader
        self._wishes: deque[Wish] = deque()
        self._whole: Wish | None = None
        self._jobs: dict[str, int] = {}
        """The jobs that are followed by id, each with the revision up to which it was told by itself."""
        self._place = self._revision = self._floor = 0
        self._checked = -1
        self._topic: Topic | None = None
        self._gap: Fault | None = None
        self._sleeper = Sleeper()

    @property
    def job_ids(self) -> Collection[str]:
        """Returns the jobs that are, or are to be, followed by id."""
        return self._jobs.keys() | {job_id for wish in self._wishes for job_id in wish.job_ids}

    def add(self, wish: Wish) -> None:
        """Follows more."""
        self._wishes.append(wish)
        self.wake()

    def drop_project(self) -> None:
        """Follows only what is followed by id."""
        self._wishes = deque(wish for wish in self._wishes if wish.job_ids)
        self._whole = None
        self.wake()

    def drop_jobs(self, job_ids: Collection[str]) -> None:
        """Follows these jobs by id no more."""
        wishes = [(wish, [job_id for job_id in wish.job_ids if job_id not in job_ids]) for wish in self._wishes]
        self._wishes = deque(replace(wish, job_ids=left) for wish, left in wishes if left or not wish.job_ids)
        self._forget([job_id for job_id in job_ids if job_id in self._jobs])
        self.wake()

    @property
    def empty(self) -> bool:
        """Returns whether nothing is followed, or is to be."""
        return not (self._wishes or self._jobs or self._whole is not None)

    def wake(self) -> None:
        self._sleeper.wake()

    def drain(self) -> None:
        """Ends it with its checkpoint as soon as that is due, or at once if there cannot be one."""
        self._sleeper.drain()

    async def run(self) -> None:
        """Tells the reader until nothing is followed any more. Raises Refused when the whole of it ends; Draining."""
        try:
            while await self._follow():
                pass
        except Refused as exc:
            if self.lived or not self._wishes:
                raise
            for wish in self._wishes:
                await self._reader.failed(self.project_id, wish, exc.fault)

    async def _follow(self) -> bool:
        """Follows one topic; returns whether to go on with another."""
        async with self._hub.topic(self._visitor, self.project_id) as topic:
            self._topic = topic
            topic.follow(self)
            try:
                async with self._sleeper.interruptible():
                    while not topic.ready:
                        if topic.fault is not None:
                            raise Refused(topic.fault)
                        await self._sleeper.sleep()
                    if self._gap is not None:
                        await self._fill(topic, self._gap)
                return await self._live(topic)
            finally:
                topic.leave(self)
                topic.leave(self, self._jobs)
                self._topic = None

    async def _live(self, topic: Topic) -> bool:
        self._listen(topic)
        while self._whole is not None or self._jobs or self._wishes:
            followed = self._whole is not None or self._jobs
            items = topic.window.after(self._place) if followed else ()
            if items is None:
                async with self._sleeper.interruptible():
                    await self._catch_up(topic, self._revision)
            elif items:
                await self._tell(items)
            elif self._wishes:
                await self._meet(topic, self._wishes.popleft())
            elif topic.fault is None:
                await self._rest(topic)
            elif topic.fault.code is grpc.StatusCode.OUT_OF_RANGE:
                self._gap = topic.fault
                return True
            else:
                raise Refused(topic.fault)
        return False

    def _listen(self, topic: Topic) -> None:
        """Is woken by what it is about, and by nothing else."""
        if self._whole is None and (self._jobs or self._wishes):
            topic.leave(self)
        if self._whole is not None:
            topic.follow(self)
        if self._jobs:
            topic.follow(self, self._jobs)

    async def _meet(self, topic: Topic, wish: Wish) -> None:
        try:
            async with self._sleeper.interruptible():
                if wish.job_ids:
                    await self._join_jobs(topic, wish)
                else:
                    self._whole = wish
                    await self._join_project(topic, wish)
            self.lived, self._checked = True, -1
        except Refused as exc:
            if self._whole is wish:
                self._whole = None
            self._forget(wish.job_ids)
            await self._reader.failed(self.project_id, wish, exc.fault)
        self._listen(topic)

    async def _join_project(self, topic: Topic, wish: Wish) -> None:
        window = topic.window
        found = window.snapshots() if wish.after is None and not wish.include_finished else None
        place = window.place_after(wish.after) if wish.after is not None else None
        if found is not None:
            self._stand(window.end, window.revision)
            await self._send([item for item in found if item.kind in wish.kinds])
        elif place is not None and wish.after is not None:
            self._stand(place, wish.after)
        else:
            await self._catch_up(topic, wish.after, include_finished=wish.include_finished)

    async def _join_jobs(self, topic: Topic, wish: Wish) -> None:
        window, alone = topic.window, self._whole is None and not self._jobs
        self._jobs.update(dict.fromkeys(wish.job_ids, 0))
        topic.follow(self, wish.job_ids)
        found = window.snapshots_of(wish.job_ids)
        place = window.place_after(wish.after) if wish.after is not None else None
        if found is not None and wish.after is None:
            if alone:
                self._stand(window.end, window.revision)
            self._jobs.update(dict.fromkeys(wish.job_ids, window.revision))
            await self._send(found)
        elif found is not None and alone and place is not None and wish.after is not None:
            self._stand(place, wish.after)
        else:
            await self._catch_up(topic, wish.after, seen=wish.again, only=None if alone else wish.job_ids)

    async def _fill(self, topic: Topic, fault: Fault) -> None:
        """Tells that something may be missing, and the state of everything as it is now."""
        self._gap = None
        await self._reader.send(gap_item(self.project_id, fault))
        self._jobs = dict.fromkeys(self._jobs, 0)
        if self._whole is not None or self._jobs:
            await self._catch_up(topic, None, include_finished=True)
        self._checked = -1

    async def _catch_up(
        self,
        topic: Topic,
        after: int | None,
        *,
        include_finished: bool = False,
        seen: bool = False,
        only: Collection[str] | None = None,
    ) -> None:
        """Tells what a watch of its own says, until that is where the window can take over.

        It is about everything, or `only` about some of the jobs, beside which the place in the window stays.
        """
        named = self._jobs if only is None and self._whole is None else only
        request = request_of(self.project_id, self._whole, named, after=after, include_finished=include_finished)
        settled = False
        try:
            async with aclosing(own_watch(self._hub, self._visitor, request)) as watch:
                async for response in watch:
                    item = item_of(response)
                    if item is not None and not (seen and after is not None and item.revision <= after):
                        await self._send([item])
                    elif item is not None and item.final:
                        await self._end([item.subject])
                    # What comes first may be the ends of jobs from before the cursor.
                    settled |= response.HasField("checkpoint") or (after is not None and response.revision > after)
                    if settled and only is None and self._took_over(topic, response.revision):
                        return
                    if response.HasField("checkpoint"):
                        if only is not None:
                            self._jobs.update({job_id: response.revision for job_id in only if job_id in self._jobs})
                            return
                        await self._reader.send(checkpoint_item(self.project_id, response.revision))
        except Refused as exc:
            if exc.fault.code is not grpc.StatusCode.OUT_OF_RANGE or after is None:
                raise
            if only is not None:
                await self._reader.send(gap_item(self.project_id, exc.fault))
                await self._catch_up(topic, None, only=only)
            else:
                await self._fill(topic, exc.fault)

    def _took_over(self, topic: Topic, revision: int) -> bool:
        """Returns whether the window goes on after a revision, and if so stands there."""
        # Where the topic is not as far yet, what it will tell up to there was sent already.
        place = topic.window.end if revision > topic.window.revision else topic.window.place_after(revision)
        if place is None:
            return False
        self._stand(place, revision)
        return True

    def _stand(self, place: int, revision: int) -> None:
        self._place, self._revision, self._floor = place, revision, revision

    async def _tell(self, items: Sequence[Item]) -> None:
        chosen = select(items, () if self._whole is not None else self._jobs) if len(items) > 1 else items
        await self._send(item for item in chosen if item.revision > self._floor)
        self._place += len(items)
        self._revision = max(self._revision, items[-1].revision)
        if len(items) == AT_ONCE:
            # There may be much more, and others are waiting.
            await asyncio.sleep(0)

    async def _send(self, items: Iterable[Item]) -> None:
        ended = []
        for item in items:
            if not self._wants(item):
                continue
            await self._reader.send(item)
            if item.final and item.subject in self._jobs:
                ended.append(item.subject)
        if ended:
            await self._end(ended)

    def _wants(self, item: Item) -> bool:
        """Returns whether an item is to be sent; it may have been dropped while others were."""
        told = self._jobs.get(item.subject)
        if told is not None:
            return item.revision > told or item.event.endswith("snapshot")
        return self._whole is not None and item.kind in self._whole.kinds

    async def _end(self, job_ids: Sequence[str]) -> None:
        self._forget(job_ids)
        await self._reader.ended(job_ids)

    def _forget(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            self._jobs.pop(job_id, None)
        if self._topic is not None:
            self._topic.leave(self, job_ids)

    async def _rest(self, topic: Topic) -> None:
        if topic.checks != self._checked or self._sleeper.draining:
            self._checked = topic.checks
            self._revision = max(self._revision, topic.window.revision)
            await self._reader.send(checkpoint_item(self.project_id, self._revision))
        if self._sleeper.draining:
            raise Draining
        await self._sleeper.sleep()
