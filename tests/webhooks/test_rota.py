"""Who sends next: turns between projects and webhooks, and how little slow ones take from others."""

from evergreen_server.webhooks.rota import Rota


def taken(rota: Rota) -> list[str]:
    """Takes all places that may be taken."""
    found = []
    while (webhook_id := rota.take()) is not None:
        found.append(webhook_id)
    return found


def test_a_quick_webhook_alone_sends_four_at_once_and_any_other_one() -> None:
    for quick, number in ((True, 4), (False, 1), (None, 1)):
        rota = Rota()
        rota.wake("a", "film", quick=quick)
        assert taken(rota) == ["a"] * number


def test_slow_webhooks_together_take_half_of_the_places() -> None:
    rota = Rota()
    for number in range(1000):
        rota.wake(f"slow-{number}", f"film-{number}", quick=False)
    assert len(taken(rota)) == 25
    for number in range(10):
        rota.wake(f"quick-{number}", "film", quick=True)
    assert len(taken(rota)) == 10, "one each: more only while most places are free"


def test_new_webhooks_together_take_a_quarter_and_leave_another_to_quick_ones() -> None:
    rota = Rota()
    for number in range(100):
        rota.wake(f"new-{number}", f"film-{number}", quick=None)
        rota.wake(f"slow-{number}", f"film-{number}", quick=False)
    assert len(taken(rota)) == 12 + 25
    for number in range(100):
        rota.wake(f"quick-{number}", "film", quick=True)
    assert len(taken(rota)) == 13


def test_webhooks_that_begin_to_hang_take_half_of_the_places_beyond_one_each() -> None:
    rota = Rota()
    for number in range(20):
        rota.wake(f"hangs-{number}", "film", quick=True)
    assert len(taken(rota)) == 25


def test_projects_take_turns_however_many_webhooks_each_has() -> None:
    rota = Rota(at_once=6)
    for number in range(100):
        rota.wake(f"greedy-{number}", "greedy", quick=True)
    rota.wake("honest", "honest", quick=True)

    assert "honest" in taken(rota)[:2]


def test_slow_ones_of_one_project_leave_half_of_what_is_free_to_those_of_others() -> None:
    rota = Rota()
    for number in range(100):
        rota.wake(f"greedy-{number}", "greedy", quick=False)
    assert len(taken(rota)) == 13
    for number in range(100):
        rota.wake(f"honest-{number}", "honest", quick=False)
    honest = taken(rota)
    assert len(honest) == 6
    assert all(each.startswith("honest") for each in honest)
    for each in honest:
        rota.give_back(each, quick=False)
    assert sorted(taken(rota)) != [], "what was given back is there again"


def test_a_webhook_that_was_slow_is_held_to_one_until_it_was_quick_again() -> None:
    rota = Rota()
    rota.wake("a", "film", quick=True)
    assert len(taken(rota)) == 4
    for _ in range(4):
        rota.give_back("a", quick=False)
    assert taken(rota) == ["a"]
    rota.give_back("a", quick=True)
    assert len(taken(rota)) == 4


def test_a_webhook_without_anything_to_send_takes_no_place_until_it_is_woken() -> None:
    rota = Rota()
    rota.wake("a", "film", quick=False)
    [_] = taken(rota)
    rota.sleep("a")
    rota.give_back("a")
    assert taken(rota) == []
    assert rota.sending == 0
    rota.wake("a", "film", quick=False)
    assert taken(rota) == ["a"]
