"""What is read at once has two lines of 42 columns at most, nothing is lost, and no letter is torn apart."""

import random

import pytest

from evergreen_server.film.cut.wrapping import COLUMNS, MOST_COLUMNS, columns_of, lines_of, parts_of, readable

LONG = (
    "The lamp went out at nine, and nobody noticed at first; then the dog began to bark at something that stood beyond "
    "the fence, quite still."
)
JAPANESE = "昔々あるところに、おじいさんとおばあさんが住んでいました。おばあさんは川へ洗濯に行きました。"
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
FLAG = "\U0001f1e9\U0001f1ea"


def wrapped(text: str) -> list[tuple[str, ...]]:
    return [lines_of(part) for part in parts_of(text)]


def letters(text: str) -> str:
    return "".join(text.split())


def test_a_short_text_is_one_line() -> None:
    assert wrapped("Who is there?") == [("Who is there?",)]


def test_nothing_is_nothing() -> None:
    assert wrapped("") == []


def test_a_long_text_breaks_where_a_clause_ends() -> None:
    assert wrapped(LONG) == [
        ("The lamp went out at nine,", "and nobody noticed at first;"),
        ("then the dog began to bark at something", "that stood beyond the fence, quite still."),
    ]


def test_no_word_is_left_alone_at_the_end() -> None:
    [*_, last] = parts_of("word " * 18)

    assert len(last.split()) > 5


def test_ideographs_take_two_columns_and_no_line_begins_with_a_stop_or_ends_with_a_bracket() -> None:
    lines = [line for part in wrapped(JAPANESE.replace("川", "「川」")) for line in part]

    assert columns_of(JAPANESE) == 2 * len(JAPANESE)
    assert max(map(columns_of, lines)) <= COLUMNS
    assert not any(line[0] in "、。」っょー" or line.endswith("「") for line in lines)
    assert "".join(lines) == JAPANESE.replace("川", "「川」")


def test_korean_breaks_between_its_words() -> None:
    text = "옛날 옛적에 할머니와 할아버지가 살았습니다 그리고 할머니는 강으로 빨래하러 갔습니다"

    assert [word for part in wrapped(text) for line in part for word in line.split(" ")] == text.split(" ")


def test_text_that_is_written_from_the_right_keeps_its_order() -> None:
    text = "שלום עולם, זה טקסט ארוך מאוד שנכתב בעברית כדי לבדוק את השבירה של שורות בכתוביות של הסרט."

    assert " ".join(line for part in wrapped(text) for line in part) == text


@pytest.mark.parametrize("letter", ["a", "e\u0301", "ก็", FAMILY, FLAG, "ഇ", "\u0627\u064e"])
def test_a_word_longer_than_a_line_is_divided_between_letters(letter: str) -> None:
    lines = [line for part in wrapped(letter * 100) for line in part]

    assert len(lines) > 2
    assert all(columns_of(line) <= COLUMNS for line in lines)
    assert all(line == letter * (len(line) // len(letter)) for line in lines)


def test_what_is_no_letter_of_any_language_is_divided_too() -> None:
    lines = [line for part in wrapped("\u200d".join("\U0001f469" * 500)) for line in part]

    assert all(0 < columns_of(line) <= COLUMNS for line in lines)


@pytest.mark.parametrize("hidden", ["\0", "\x1b", "\x85", "\u2028", "\u202e", "\u2066", "\ud800", "\ufdd0", "\uffff"])
def test_what_shows_nothing_or_turns_the_text_around_is_left_out(hidden: str) -> None:
    assert readable(f"{hidden}one{hidden} {hidden}\n\n two{hidden}") == "one two"


def test_any_text_is_kept_whole_within_the_bounds() -> None:
    pieces = [
        *"ab  ,.漢、。「」ーっאة-<>&\u0301\u200d\xadไท",
        "\n",
        "\0",
        FAMILY,
        FLAG,
        "supercalifragilistic",
        "한국어",
    ]
    rng = random.Random(1)

    for _ in range(2_000):
        text = readable("".join(rng.choices(pieces, k=rng.randrange(200))))
        most = rng.choice([10, COLUMNS, MOST_COLUMNS])
        parts = list(parts_of(text, most))
        lines = [line for part in parts for line in lines_of(part)]

        assert letters("".join(parts)) == letters("".join(lines)) == letters(text)
        assert all(line and line == line.strip() and columns_of(line) <= COLUMNS for line in lines)
        assert all(len(lines_of(part)) <= 2 for part in parts)
