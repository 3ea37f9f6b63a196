"""The same request has the same digest, and whatever differs in another is named."""

import pytest

from evergreen_server.film.digests import (
    Basis,
    Currency,
    Json,
    Member,
    Redo,
    Standing,
    base_digest,
    digest_of,
    renews,
    request_id,
    stale_because,
)

CLIP: Basis = {
    Member.PROMPT: "slow push in",
    Member.FIRST_FRAME: "ab" * 32,
    Member.MODEL: "gen4_turbo",
    Member.LENGTH: 5,
    Member.SEED: 7,
    Member.AUDIO: False,
    Member.OPTIONS: {"b": [1, 2], "a": {"d": None, "c": "ü"}},
}
OTHER: dict[Member, Json] = {
    Member.PROMPT: "static",
    Member.FIRST_FRAME: "cd" * 32,
    Member.MODEL: "gen4.5",
    Member.LENGTH: 5.5,
    Member.SEED: 8,
    # ArcReel's digest left this switch out, and could have reused silent clips.
    Member.AUDIO: True,
    Member.OPTIONS: {"b": [2, 1], "a": {"d": None, "c": "ü"}},
}


def base(basis: Basis, film: str = "film", shot: str = "scene-1.1", output: str = "clip") -> str:
    return base_digest(film=film, shot=shot, output=output, basis=basis)


def test_the_order_of_keys_and_the_kind_of_whole_numbers_change_nothing() -> None:
    again: dict[Member, Json] = {member: CLIP[member] for member in reversed(list(CLIP))}
    again[Member.LENGTH] = 5.0
    again[Member.OPTIONS] = {"a": {"c": "ü", "d": None}, "b": (1.0, 2)}

    assert base(again) == base(CLIP)
    assert stale_because(CLIP, again) == ()


@pytest.mark.parametrize("member", OTHER)
def test_each_member_changes_the_digest_and_is_named(member: Member) -> None:
    changed = {**CLIP, member: OTHER[member]}
    left_out = {key: value for key, value in CLIP.items() if key is not member}

    assert len({base(CLIP), base(changed), base(left_out)}) == 3
    assert stale_because(CLIP, changed) == (member,)
    assert stale_because(CLIP, left_out) == stale_because(left_out, CLIP) == (member,)


def test_what_is_left_out_is_not_what_is_null() -> None:
    assert stale_because({Member.SEED: None}, {}) == (Member.SEED,)


def test_true_is_not_one() -> None:
    assert stale_because({Member.AUDIO: True}, {Member.AUDIO: 1}) == (Member.AUDIO,)


def test_film_shot_output_and_take_are_in_the_digest() -> None:
    bases = [base(CLIP), base(CLIP, film="f"), base(CLIP, shot="scene-1.2"), base(CLIP, output="picture")]
    digests = {digest_of(one, take) for one in bases for take in (1, 2)}

    assert len(digests) == 8
    assert {len(request_id(digest)) for digest in digests} == {79}
    assert all(request_id(digest).startswith("evergreen.film:") for digest in digests)


def test_digests_are_the_same_over_releases() -> None:
    assert digest_of(base(CLIP), 1) == "55bb8ee5f82f3605e132ec3302a72097a44f1b996d873c9416dc9e485a4c9a29"


def test_a_take_of_0_and_a_number_that_json_has_not_are_refused() -> None:
    with pytest.raises(ValueError, match="takes count from 1"):
        digest_of(base(CLIP), 0)
    with pytest.raises(ValueError, match="JSON compliant"):
        base({Member.LENGTH: float("nan")})


@pytest.mark.parametrize(
    ("made", "there", "currency"),
    [
        (None, True, Currency.MISSING),
        (None, None, Currency.MISSING),
        (CLIP, False, Currency.MISSING),
        (CLIP, None, Currency.BLOCKED),
        (CLIP, True, Currency.CURRENT),
        ({**CLIP, Member.SEED: 8, Member.PROMPT: ""}, True, Currency.STALE),
    ],
)
def test_an_output_stands_as_its_basis_and_its_file_say(
    made: Basis | None, there: bool | None, currency: Currency
) -> None:
    standing = Standing.of(made=made, wanted=CLIP, there=there)

    assert standing.currency is currency
    assert standing.because == ((Member.PROMPT, Member.SEED) if currency is Currency.STALE else ())


MODEL_ALONE = Standing(currency=Currency.STALE, because=(Member.MODEL, Member.SEED))
CONTENT = Standing(currency=Currency.STALE, because=(Member.PROMPT, Member.MODEL))


@pytest.mark.parametrize(
    ("standing", "redos"),
    [
        (Standing(currency=Currency.MISSING), {Redo.CHANGED, Redo.CONTENT_CHANGED, Redo.MISSING}),
        (Standing(currency=Currency.CURRENT), set()),
        (Standing(currency=Currency.BLOCKED), set()),
        (CONTENT, {Redo.CHANGED, Redo.CONTENT_CHANGED}),
        (MODEL_ALONE, {Redo.CHANGED}),
    ],
)
def test_a_run_renews_what_its_redo_says(standing: Standing, redos: set[Redo]) -> None:
    assert {redo for redo in Redo if renews(redo, standing)} == redos
