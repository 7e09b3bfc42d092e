"""The table of guards that `hack/mutate.py` takes out follows the code."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.hazard)
def test_a_guard_stands_once_in_its_file_and_has_its_test(mutation: Mutation) -> None:
    source = (ROOT / "operator" / "dualtrack" / "engine" / mutation.file).read_text()
    assert source.count(mutation.old) == 1
    file, _, test = mutation.test.partition("::")
    assert f"def {test.partition('[')[0]}" in (ROOT / file).read_text()


def test_each_guard_has_a_name_of_its_own() -> None:
    assert max(Counter(each.hazard for each in MUTATIONS).values()) == 1
