"""One socket or stream that follows one project, or some of it by id: a place in the topic's window and a flag.

It joins by the topic's own state, by a cursor within the window, or by a watch of its own until the window covers what
that has sent; so it also comes back when it was so slow that the window has moved on.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing

import grpc

from evergreen_server.gateway.live.hub import Draining, Hub
from evergreen_server.gateway.live.items import FILM, Item, checkpoint_item, gap_item, item_of, select
from evergreen_server.gateway.live.own import Over, own_watch
from evergreen_server.gateway.live.sleeping import Sleeper
from evergreen_server.gateway.live.topics import Topic
from evergreen_server.gateway.live.windows import AT_ONCE, Window
from evergreen_server.gateway.live.wishes import Reader, Wish, request_of
from evergreen_server.gateway.problems import Fault, Refused
from evergreen_server.gateway.visitors import Visitor

__all__ = ["Following"]


class Following:
    """Follows one project for one reader. `lived` is whether a wish was met. Used on one loop."""

    __slots__ = (
        *("_checked", "_floor", "_gap", "_hub", "_named", "_place", "_reader", "_revision", "_sleeper", "_topic"),
        *("_visitor", "_whole", "_wishes", "lived", "project_id"),
    )

    def __init__(self, *, hub: Hub, visitor: Visitor, project_id: str, reader: Reader) -> None:
        self.project_id = project_id
        self.lived = False
        self._hub, self._visitor, self._reader = hub, visitor, reader
        self._wishes: list[Wish] = []
        self._whole: Wish | None = None
        self._named: dict[str, int] = {}
        """The jobs and films that are followed by id, each with the revision up to which it was told by itself."""
        self._place = self._revision = self._floor = 0
        self._checked = -1
        self._topic: Topic | None = None
        self._gap: Fault | None = None
        self._sleeper = Sleeper()

    @property
    def named(self) -> Collection[str]:
        """Returns the subjects that are, or are to be, followed by id."""
        return self._named.keys() | {subject for wish in self._wishes for subject in wish.named}

    def add(self, wish: Wish) -> None:
        """Follows more."""
        self._wishes.append(wish)
        self.wake()

    def drop_project(self) -> None:
        """Follows only what is followed by id."""
        self._wishes = [wish for wish in self._wishes if wish.named]
        self._whole = None
        self.wake()

    def drop(self, subjects: Collection[str]) -> None:
        """Follows these jobs and films by id no more."""
        left = [(wish, wish.without(subjects)) for wish in self._wishes]
        self._wishes = [rest for wish, rest in left if rest.named or not wish.named]
        self._forget([subject for subject in subjects if subject in self._named])
        self.wake()

    @property
    def empty(self) -> bool:
        """Returns whether nothing is followed, or is to be."""
        return not (self._wishes or self._named or self._whole)

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
                topic.leave(self, self._named)
                self._topic = None

    async def _live(self, topic: Topic) -> bool:
        self._listen(topic)
        while self._whole is not None or self._named or self._wishes:
            items = topic.window.after(self._place) if self._whole is not None or self._named else ()
            if items is None:
                async with self._sleeper.interruptible():
                    await self._catch_up(topic, self._revision)
            elif items:
                await self._tell(topic.window, items)
            elif self._wishes:
                await self._meet(topic, self._wishes.pop(0))
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
        if self._whole is None and (self._named or self._wishes):
            topic.leave(self)
        if self._whole is not None:
            topic.follow(self)
        if self._named:
            topic.follow(self, self._named)

    async def _meet(self, topic: Topic, wish: Wish) -> None:
        try:
            async with self._sleeper.interruptible():
                if wish.named:
                    await self._join_named(topic, wish)
                else:
                    self._whole = wish
                    await self._join_project(topic, wish)
            self.lived, self._checked = True, -1
        except Refused as exc:
            if self._whole is wish:
                self._whole = None
            self._forget(wish.named)
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

    async def _join_named(self, topic: Topic, wish: Wish) -> None:
        window, alone = topic.window, self._whole is None and not self._named
        named = wish.named
        self._named.update(dict.fromkeys(named, 0))
        topic.follow(self, named)
        found = window.snapshots_of(named)
        place = window.place_after(wish.after) if wish.after is not None else None
        if found is not None and wish.after is None:
            if alone:
                self._stand(window.end, window.revision)
            self._named.update(dict.fromkeys(named, window.revision))
            await self._send(found)
        elif found is not None and alone and place is not None and wish.after is not None:
            self._stand(place, wish.after)
        else:
            await self._catch_up(topic, wish.after, seen=wish.again, only=None if alone else named)

    async def _fill(self, topic: Topic, fault: Fault) -> None:
        """Tells that something may be missing, and the state of everything as it is now."""
        self._gap = None
        await self._reader.send(gap_item(self.project_id, fault))
        self._named = dict.fromkeys(self._named, 0)
        if self._whole is not None or self._named:
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

        It is about everything, or `only` about some of what is named, beside which the place in the window stays.
        """
        whole, named = (self._whole, self._named) if only is None else (None, only)
        request = request_of(self.project_id, whole, named, after=after, include_finished=include_finished)
        settled, over = False, Over(self._named)
        try:
            async with aclosing(own_watch(self._hub, self._visitor, request)) as watch:
                async for response in watch:
                    if (item := item_of(response)) is not None:
                        over.note(item)
                        if not (seen and after is not None and item.revision <= after):
                            await self._send([item])
                        elif item.final and item.kind != FILM:
                            await self._end([item.subject])
                    if checked := response.HasField("checkpoint"):
                        await self._end(over.take())
                    # What comes first may be the ends of jobs from before the cursor.
                    settled |= checked or (after is not None and response.revision > after)
                    if settled and over.decided and only is None and self._took_over(topic, response.revision):
                        return
                    if checked and only is not None:
                        self._named.update({each: response.revision for each in only if each in self._named})
                        return
                    if checked:
                        await self._reader.send(checkpoint_item(self.project_id, response.revision))
            await self._end(over.take())
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
        if place is not None:
            self._stand(place, revision)
        return place is not None

    def _stand(self, place: int, revision: int) -> None:
        self._place, self._revision, self._floor = place, revision, revision

    async def _tell(self, window: Window, items: Sequence[Item]) -> None:
        chosen = select(items, () if self._whole is not None else self._named) if len(items) > 1 else items
        await self._send([item for item in chosen if item.revision > self._floor], window)
        self._place += len(items)
        self._revision = max(self._revision, items[-1].revision)
        if len(items) == AT_ONCE:
            # There may be much more, and others are waiting.
            await asyncio.sleep(0)

    async def _send(self, items: Iterable[Item], window: Window | None = None) -> None:
        """Sends what is wanted of these, and ends what they end: a film by a message of the window, its last."""
        ended = []
        for item in items:
            if not self._wants(item):
                continue
            await self._reader.send(item)
            ends = item.final and (item.kind != FILM or (window is not None and window.is_last(item)))
            if ends and item.subject in self._named:
                ended.append(item.subject)
        await self._end(ended)

    def _wants(self, item: Item) -> bool:
        """Returns whether an item is to be sent; it may have been dropped while others were."""
        told = self._named.get(item.subject)
        if told is not None:
            return item.revision > told or item.event.endswith("snapshot")
        return self._whole is not None and item.kind in self._whole.kinds

    async def _end(self, subjects: Sequence[str]) -> None:
        if subjects:
            self._forget(subjects)
            await self._reader.ended(self.project_id, subjects)

    def _forget(self, subjects: Collection[str]) -> None:
        for subject in subjects:
            self._named.pop(subject, None)
        if self._topic is not None:
            self._topic.leave(self, subjects)

    async def _rest(self, topic: Topic) -> None:
        if topic.checks != self._checked or self._sleeper.draining:
            self._checked = topic.checks
            self._revision = max(self._revision, topic.window.revision)
            await self._reader.send(checkpoint_item(self.project_id, self._revision))
        if self._sleeper.draining:
            raise Draining
        await self._sleeper.sleep()
