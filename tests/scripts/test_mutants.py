"""The table of guards keeps up with the code, so that `make mutants` takes away what it says."""

from pathlib import Path

import pytest

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_a_guard_of_the_table_stands_once_where_it_says_and_its_tests_are_there(mutant: Mutant) -> None:
    assert (ROOT / mutant.path).read_text().count(mutant.old) == 1
    for name in mutant.tests:
        if name.startswith("tests/"):
            file, _, test = name.partition("::")
            assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text() if test else (ROOT / file).is_file()
