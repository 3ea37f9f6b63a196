"""What a run does next, by tables, and by thousands of random runs in a model of the world."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from evergreen_server.film.model import OnShotFailure, OutputKind
from evergreen_server.film.runs.deciding import (
    AT_ONCE,
    Child,
    Decision,
    FilmGate,
    FilmStage,
    Item,
    Run,
    Then,
    Trouble,
    decide,
)
from evergreen_server.film.statuses import Status
from evergreen_server.jobs.model.held import FilmCreditsExceeded, Held

PICTURE, CLIP, SPEECH = OutputKind.PICTURE, OutputKind.CLIP, OutputKind.SPEECH
PLAIN = Run()


def shot(
    number: int = 1,
    *,
    picture: Child | None = None,
    clip: Child | None = None,
    on_failure: OnShotFailure = OnShotFailure.ASK,
    older: bool = False,
    lines: tuple[str, ...] = (),
    begins_with: str = "",
) -> list[Item]:
    """Returns a new shot whose picture and clip have these jobs; its clip comes after the lines as well."""
    first = begins_with or f"s.{number}/picture"
    made = Item(key=f"s.{number}/picture", kind=PICTURE, make=True, child=picture, on_failure=on_failure, older=older)
    there = None if picture is not Child.MADE and not begins_with else True
    moved = Item(
        key=f"s.{number}/clip",
        kind=CLIP,
        after=(first, *lines),
        make=there,
        child=clip,
        on_failure=on_failure,
        older=older,
    )
    return [moved] if begins_with else [made, moved]


def line(number: int = 1, *, child: Child | None = None, on_failure: OnShotFailure = OnShotFailure.ASK) -> Item:
    return Item(key=f"s.line-{number}/speech", kind=SPEECH, make=True, child=child, on_failure=on_failure)


def test_pictures_and_speech_of_all_shots_are_accepted_at_once() -> None:
    decision = decide(PLAIN, [line(), *shot(1), *shot(2)])

    assert decision.accept == ("s.line-1/speech", "s.1/picture", "s.2/picture")
    assert (decision.then, decision.stage) == (Then.WAIT, FilmStage.STORYBOARD)


def test_a_clip_is_accepted_as_soon_as_its_own_picture_and_lines_are_there() -> None:
    items = [line(child=Child.MADE), *shot(1, picture=Child.MADE, lines=("s.line-1/speech",)), *shot(2)]

    assert decide(PLAIN, items).accept == ("s.1/clip", "s.2/picture")


def test_a_clip_that_begins_with_the_one_before_waits_for_it() -> None:
    before = shot(1, picture=Child.MADE, clip=Child.OPEN)
    after = [replace(item, make=None) for item in shot(2, begins_with="s.1/clip")]

    assert decide(PLAIN, [*before, *after]).accept == ()
    done = shot(1, picture=Child.MADE, clip=Child.MADE)
    assert decide(PLAIN, [*done, *shot(2, begins_with="s.1/clip")]).accept == ("s.2/clip",)


def test_no_more_than_a_batch_is_accepted_at_once() -> None:
    items = [item for number in range(80) for item in shot(number)]

    accepted = decide(PLAIN, items).accept

    assert accepted == tuple(f"s.{number}/picture" for number in range(AT_ONCE))


def test_the_gate_of_the_storyboard_holds_every_clip_back() -> None:
    gated = Run(gates=frozenset({FilmGate.STORYBOARD}))
    half = [*shot(1, picture=Child.MADE), *shot(2, picture=Child.OPEN)]
    whole = [*shot(1, picture=Child.MADE), *shot(2, picture=Child.MADE)]

    assert (decide(gated, half).then, decide(gated, half).accept) == (Then.WAIT, ())
    assert (decide(gated, whole).then, decide(gated, whole).accept) == (Then.STORYBOARD_GATE, ())
    assert decide(replace(gated, passed=gated.gates), whole).accept == ("s.1/clip", "s.2/clip")


ALL_THERE = [*shot(1, picture=Child.MADE, clip=Child.MADE)]


@pytest.mark.parametrize(
    ("run", "then", "stage"),
    [
        (Run(), Then.RENDER, FilmStage.ASSEMBLING),
        (Run(gates=frozenset({FilmGate.CLIPS})), Then.CLIPS_GATE, FilmStage.ASSEMBLING),
        (Run(gates=frozenset({FilmGate.CLIPS}), passed=frozenset({FilmGate.CLIPS})), Then.RENDER, FilmStage.ASSEMBLING),
        (Run(rendered=True), Then.PUBLISH, FilmStage.PUBLISHING),
        (Run(rendered=True, published=True), Then.SUCCEED, FilmStage.PUBLISHING),
        (Run(stop_after=FilmStage.CLIPS, gates=frozenset({FilmGate.CLIPS})), Then.SUCCEED, FilmStage.CLIPS),
        (Run(stop_after=FilmStage.STORYBOARD), Then.SUCCEED, FilmStage.STORYBOARD),
        (Run(ending=True), Then.END, FilmStage.ASSEMBLING),
    ],
)
def test_once_every_output_is_there(run: Run, then: Then, stage: FilmStage) -> None:
    decision = decide(run, ALL_THERE)

    assert (decision.then, decision.stage, decision.accept) == (then, stage, ())


def test_a_run_that_stops_after_the_storyboard_makes_no_clip() -> None:
    run = Run(stop_after=FilmStage.STORYBOARD, gates=frozenset({FilmGate.STORYBOARD}))

    assert decide(run, shot(1)).accept == ("s.1/picture",)
    assert decide(run, shot(1, picture=Child.MADE)).then is Then.SUCCEED


def test_what_is_reused_is_there_without_a_job() -> None:
    reused = [replace(item, make=False) for item in shot(1)]

    assert decide(PLAIN, reused).then is Then.RENDER


@pytest.mark.parametrize(
    ("policy", "older", "picture_fails", "clip_fails"),
    [
        (OnShotFailure.ASK, True, Status.TROUBLE, Status.TROUBLE),
        (OnShotFailure.STILL, True, Status.TROUBLE, Status.STILL),
        (OnShotFailure.LAST_GOOD, True, Status.OLDER, Status.OLDER),
        (OnShotFailure.LAST_GOOD, False, Status.TROUBLE, Status.TROUBLE),
        (OnShotFailure.SKIP, True, Status.LEFT_OUT, Status.LEFT_OUT),
        (OnShotFailure.FAIL, True, Status.FATAL, Status.FATAL),
    ],
)
def test_what_becomes_of_a_failure(
    policy: OnShotFailure, older: bool, picture_fails: Status, clip_fails: Status
) -> None:
    failed = shot(1, picture=Child.FAILED, on_failure=policy, older=older)
    moved = shot(1, picture=Child.MADE, clip=Child.FAILED, on_failure=policy, older=older)

    assert decide(replace(PLAIN, stop_after=FilmStage.STORYBOARD), failed).statuses["s.1/picture"] is picture_fails
    decision = decide(PLAIN, moved)
    assert decision.statuses["s.1/clip"] is clip_fails
    expected = {Status.TROUBLE: Then.ASK, Status.FATAL: Then.FAIL}
    assert decision.then is expected.get(clip_fails, Then.RENDER)


def test_one_bad_shot_never_stops_the_others() -> None:
    bad = shot(1, picture=Child.FAILED, on_failure=OnShotFailure.FAIL)
    decision = decide(PLAIN, [*bad, *shot(2, picture=Child.MADE), *shot(3, picture=Child.OPEN)])

    assert (decision.then, decision.accept) == (Then.WAIT, ("s.2/clip",))


def test_a_failed_picture_asks_once_and_not_for_its_clip_as_well() -> None:
    decision = decide(PLAIN, shot(1, picture=Child.FAILED))

    assert decision.then is Then.ASK
    assert decision.troubles == (Trouble(key="s.1/picture"),)


def test_a_shot_whose_picture_is_left_out_has_no_clip() -> None:
    decision = decide(PLAIN, shot(1, picture=Child.FAILED, on_failure=OnShotFailure.SKIP))

    assert decision.statuses["s.1/clip"] is Status.LEFT_OUT
    assert decision.then is Then.RENDER


def test_a_line_that_is_left_out_leaves_its_shot_in() -> None:
    items = [line(child=Child.FAILED, on_failure=OnShotFailure.SKIP)]
    items += shot(1, picture=Child.MADE, lines=("s.line-1/speech",))

    assert decide(PLAIN, items).accept == ("s.1/clip",)


def test_a_clip_cannot_begin_with_the_end_of_a_still() -> None:
    still = shot(1, picture=Child.MADE, clip=Child.FAILED, on_failure=OnShotFailure.STILL)

    assert decide(PLAIN, [*still, *shot(2, begins_with="s.1/clip")]).troubles == (Trouble(key="s.2/clip"),)


def test_a_job_that_asks_makes_the_run_ask_once_all_else_is_over() -> None:
    asking = shot(1, picture=Child.ASKS)

    assert decide(PLAIN, [*asking, *shot(2, picture=Child.OPEN)]).then is Then.WAIT
    decision = decide(PLAIN, [*asking, *shot(2, picture=Child.MADE, clip=Child.MADE)])
    assert (decision.then, decision.troubles) == (Then.ASK, (Trouble(key="s.1/picture", asks=True),))


def test_a_store_that_cannot_say_is_asked_again_and_nothing_is_made() -> None:
    blocked = [replace(item, make=None, blocked=True) for item in shot(1)]

    decision = decide(PLAIN, blocked)

    assert (decision.then, decision.accept) == (Then.STORE, ())


def test_a_run_that_is_ending_begins_nothing_and_waits_for_its_jobs() -> None:
    ending = Run(ending=True)
    items = [*shot(1, picture=Child.OPEN), *shot(2)]

    decision = decide(ending, items)

    assert (decision.then, decision.accept, decision.cancel) == (Then.WAIT, (), ("s.1/picture",))
    assert decide(ending, shot(1, picture=Child.ASKS)).then is Then.ASK
    assert decide(ending, shot(1, picture=Child.MADE)).then is Then.END


def test_an_output_of_which_nobody_says_whether_it_is_made_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"s\.1/clip"):
        decide(PLAIN, [replace(item, make=None if item.kind is CLIP else False) for item in shot(1)])


PRICES = {PICTURE: 5_000, SPEECH: 1_000, CLIP: 25_000}


@dataclass
class Job:
    reserved: int
    attempts: int = 1
    state: Child = Child.OPEN


@dataclass
class World:
    """A model of what surrounds a run: jobs that fail, ask, cost more, and come to their end in any order."""

    chance: random.Random
    run: Run
    items: list[Item]
    money: Held
    project: int
    """What the project has reserved, kept as the ledger keeps it: by what jobs do, and by the change of `held`."""
    spent: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    short: bool = False

    def settle(self, change: Held, *, reserved: int, spent: int = 0) -> None:
        self.project += reserved + change.held - self.money.held
        self.spent += spent
        self.money = change
        self.check()

    def check(self) -> None:
        money = self.money
        assert money.held + money.reserved + money.spent <= money.approved
        assert self.project == money.held + money.reserved
        assert (money.reserved, money.spent) == (sum(job.reserved for job in self.jobs.values()), self.spent)
        assert money.held >= 0

    def seen(self) -> list[Item]:
        """Returns the outputs as the rows have them."""
        there = {item.key for item in self.items if item.make is False}
        there |= {key for key, job in self.jobs.items() if job.state is Child.MADE}
        items = []
        for item in self.items:
            job = self.jobs.get(item.key)
            known = item.make if item.make is False else True
            items.append(replace(item, child=job.state if job else None, make=known))
        return items

    def act(self, decision: Decision) -> None:
        self.short = False
        for key in decision.accept:
            assert self.jobs.get(key) is None, "an output has one job"
            assert self.run.ending is False
            price = PRICES[next(item.kind for item in self.items if item.key == key)]
            try:
                after = self.money.draw(price)
            except FilmCreditsExceeded:
                self.short = True
                return
            self.jobs[key] = Job(reserved=price)
            self.made[key] += 1
            self.settle(after, reserved=price)
            if self.chance.random() < 0.05:
                return  # killed in between
        for key in decision.cancel:
            self.end(self.jobs[key], Child.FAILED, charged=self.chance.choice([0, self.jobs[key].reserved]))

    def end(self, job: Job, state: Child, *, charged: int) -> None:
        reserved, job.reserved, job.state = job.reserved, 0, state
        after = self.money.settle(reserved=reserved, charged=charged)
        self.settle(after, reserved=-reserved, spent=charged)

    def something_happens(self) -> None:
        """One of the jobs that are under way goes on."""
        job = self.chance.choice([job for job in self.jobs.values() if job.state is Child.OPEN])
        match self.chance.randrange(10):
            case 0:
                job.state = Child.ASKS
            case 1:
                self.end(job, Child.FAILED, charged=self.chance.choice([0, job.reserved]))
            case 2 if job.attempts < 3:
                # A paid failure, and another attempt, where the sum has room for it.
                price = job.reserved
                try:
                    self.money.settle(reserved=price, charged=price).draw(price)
                except FilmCreditsExceeded:
                    self.end(job, Child.FAILED, charged=price)
                    return
                self.end(job, Child.OPEN, charged=price)
                after = self.money.draw(price)
                job.reserved, job.attempts = price, job.attempts + 1
                self.settle(after, reserved=price)
            case 3:
                # The provider's own estimate is higher.
                try:
                    after = self.money.draw(more := job.reserved // 2)
                except FilmCreditsExceeded:
                    self.end(job, Child.FAILED, charged=0)
                    return
                job.reserved += more
                self.settle(after, reserved=more)
            case _:
                self.end(job, Child.MADE, charged=self.chance.choice([job.reserved, job.reserved // 2]))

    def somebody_decides(self, decision: Decision) -> None:
        """A caller answers: resolves jobs, tries again, changes a policy, approves more, or cancels."""
        if self.chance.random() < 0.1:
            self.run = replace(self.run, ending=True)
            self.settle(self.money.release(), reserved=0)
            return
        for trouble in decision.troubles:
            if trouble.asks:
                job = self.jobs[trouble.key]
                made = self.chance.random() < 0.5
                self.end(job, Child.MADE if made else Child.FAILED, charged=job.reserved)
            elif self.chance.random() < 0.5:
                self.jobs.pop(trouble.key, None)  # its next take
                self.made[trouble.key] -= 1
            else:
                self.items = [
                    replace(item, on_failure=OnShotFailure.SKIP) if item.key == trouble.key else item
                    for item in self.items
                ]
        if decision.then is Then.STORYBOARD_GATE or decision.then is Then.CLIPS_GATE:
            self.run = replace(self.run, passed=self.run.passed | {FilmGate(decision.then.removesuffix("_GATE"))})
        if not self.run.ending:
            quote = self.quote()
            approved = max(self.money.approved, quote + self.money.reserved + self.money.spent)
            self.settle(self.money.approve(approved, quote=quote), reserved=0)

    def quote(self) -> int:
        return sum(PRICES[item.kind] for item in self.items if item.make is not False and item.key not in self.jobs)


def a_film(chance: random.Random) -> list[Item]:
    policy = chance.choice(list(OnShotFailure))
    items: list[Item] = []
    for number in range(chance.randint(1, 6)):
        lines = [line(10 * number + spoken, on_failure=policy) for spoken in range(chance.randint(0, 2))]
        before = chance.random() < 0.2 and f"s.{number - 1}/clip" in {item.key for item in items}
        keys = tuple(spoken.key for spoken in lines)
        begins_with = f"s.{number - 1}/clip" if before else ""
        new = shot(number, on_failure=policy, older=chance.random() < 0.5, lines=keys, begins_with=begins_with)
        items += [*lines, *new]
    return [replace(item, make=chance.random() > 0.2) for item in items]


@pytest.mark.parametrize("part", range(4))
def test_random_runs_keep_their_sum_and_come_to_an_end(part: int) -> None:
    for seed in range(part * 500, part * 500 + 500):
        chance = random.Random(seed)
        world = World(
            chance=chance,
            run=Run(
                gates=frozenset(gate for gate in FilmGate if chance.random() < 0.3),
                stop_after=chance.choice([None, None, FilmStage.STORYBOARD, FilmStage.CLIPS]),
            ),
            items=a_film(chance),
            money=Held(approved=0),
            project=0,
        )
        quote = world.quote()
        world.settle(world.money.approve(quote + chance.choice([0, 0, 30_000]), quote=quote), reserved=0)
        last = a_run(world)

        assert all(times == 1 for key, times in world.made.items() if key in world.jobs), seed
        world.settle(world.money.release(), reserved=0)
        assert (world.project, world.money.reserved) == (0, 0), seed
        if last.then is Then.SUCCEED:
            over = {Status.THERE, Status.OLDER, Status.STILL, Status.LEFT_OUT}
            done = {item.key for item in world.items if item.kind is not CLIP or world.run.stop_after is not STORYBOARD}
            assert {last.statuses[key] for key in done} <= over, seed


STORYBOARD = FilmStage.STORYBOARD


def a_run(world: World) -> Decision:
    """Goes on until the run is over, and returns the last decision."""
    for _ in range(2_000):
        decision = decide(world.run, world.seen())
        world.act(decision)
        match decision.then:
            case Then.WAIT:
                open_jobs = [job for job in world.jobs.values() if job.state is Child.OPEN]
                if open_jobs and not world.run.ending:
                    world.something_happens()
                elif world.short:
                    world.somebody_decides(replace(decision, troubles=()))
            case Then.ASK | Then.STORYBOARD_GATE | Then.CLIPS_GATE:
                if world.run.ending:
                    for trouble in decision.troubles:
                        job = world.jobs[trouble.key]
                        world.end(job, Child.FAILED, charged=job.reserved)
                else:
                    world.somebody_decides(decision)
            case Then.RENDER:
                world.run = replace(world.run, rendered=True)
            case Then.PUBLISH:
                world.run = replace(world.run, published=True)
            case _:
                return decision
    raise AssertionError("the run comes to no end")
