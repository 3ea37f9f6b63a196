"""A few of the random bodies that `make check-sandbox` sends by the thousand, and what would count as wrong."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import runwayml

from tests.providers.runway.sandbox.driver import Caller
from tests.providers.runway.sandbox.suite.bodies import Case
from tests.providers.runway.sandbox.suite.random_bodies import fault_in, storm

CASE = Case("text_to_image", {"model": "gen4_image", "ratio": 1}, frozenset({"model", "ratio", "promptText"}))


async def test_no_random_body_crashes_the_sandbox_and_each_refusal_names_a_field(runway: Caller) -> None:
    statuses, wrong = await storm(runway, 300, seed=7)

    assert wrong == []
    assert statuses[200] > 50
    assert statuses[400] > 100


@pytest.mark.parametrize(
    ("status", "answer", "is_fault"),
    [
        (200, {"id": "x"}, False),
        (500, {"error": "oops"}, True),
        (400, "<html>", True),
        (400, {"error": "Validation of body failed", "issues": []}, True),
        (400, {"issues": [{"path": ["ratio"]}, {"path": ["promptText"]}]}, False),
        (400, {"issues": [{"path": ["colour"]}]}, True),
        (400, {"issues": [{"path": []}]}, True),
        (400, {"issues": [{"path": [], "keys": ["ratio"]}]}, False),
    ],
)
def test_an_answer_is_judged_by_what_it_names(status: int, answer: Any, is_fault: bool) -> None:
    assert (fault_in(CASE, status, answer) is not None) is is_fault


def test_a_refusal_that_names_another_member_than_the_spoilt_one_is_wrong() -> None:
    answer = {"issues": [{"path": ["promptText"], "code": "too_small"}]}

    assert fault_in(replace(CASE, spoilt="ratio"), 400, answer)
    assert fault_in(replace(CASE, spoilt="promptText"), 400, answer) is None


def test_the_sdk_whose_tests_are_run_is_the_one_that_is_installed() -> None:
    lock = (Path(__file__).parents[4] / "requirements/sdk.txt").read_text()

    assert re.findall(r"^runwayml==(\S+)", lock, re.MULTILINE) == [runwayml.__version__]
