"""Which objects a round of a sample looks at, and what a clean one says."""

from __future__ import annotations

import pytest

from dualtrack.engine.sampling import MILLION, Chooser, Sample, bound_ppm
from dualtrack.errors import UsageError
from dualtrack.proportions import lower_bound, upper_bound

NAMES = [("bucket", f"photos/{number:05d}.jpg") for number in range(4_000)]


@pytest.mark.parametrize("ppm", [1_000_000, 333_333, 250_000, 300_000, 70_000])
def test_the_rounds_of_a_seed_look_at_each_object_once(ppm: int) -> None:
    rounds = Sample(ppm, "seed").rounds
    seen = [
        name for number in range(rounds) for name in NAMES if Sample(ppm, "seed", number).chooser()(*name)
    ]
    assert sorted(seen) == NAMES


def test_after_all_rounds_other_objects_meet() -> None:
    first, again = (
        [name for name in NAMES if Sample(100_000, "seed", number).chooser()(*name)] for number in (0, 10)
    )
    assert set(first) != set(again)
    assert set(first) & set(again), "the slices of two cycles are independent of each other"


def test_a_round_names_the_same_objects_everywhere() -> None:
    """Values, because a sample must be reproducible by another machine and a later build."""
    chosen = [name[1] for name in NAMES[:500] if Sample(10_000, "seed", 3).chooser()(*name)]
    assert chosen == ["photos/00029.jpg", "photos/00208.jpg"]


def test_the_share_is_what_was_asked_for() -> None:
    for seed in range(20):
        chooser = Sample(50_000, str(seed)).chooser()
        chosen = sum(chooser(*name) for name in NAMES)
        assert lower_bound(chosen, len(NAMES), 0.9999) < 0.05 < upper_bound(chosen, len(NAMES), 0.9999)


def test_defects_are_met_as_often_as_the_formula_says() -> None:
    """1 - (1 - d)**n, for a defect rate d and n objects looked at, over 2,000 seeds."""
    objects, defects, ppm, runs = 20_000, 20, 20_000, 2_000
    planted = [("bucket", f"{number * objects // defects:06d}") for number in range(defects)]
    met = sum(any(chooser(*name) for name in planted) for chooser in choosers(ppm, runs))
    expected = 1 - (1 - defects / objects) ** (objects * ppm // MILLION)
    assert lower_bound(met, runs, 0.9995) <= expected <= upper_bound(met, runs, 0.9995)


def choosers(ppm: int, runs: int) -> list[Chooser]:
    return [Sample(ppm, f"run-{number}").chooser() for number in range(runs)]


def test_defects_at_the_end_are_met_like_those_at_the_start() -> None:
    """The first keys of a listing would never meet them."""
    tail = NAMES[-40:]
    assert 0 < sum(Sample(100_000, "seed").chooser()(*name) for name in tail) < len(tail)


def test_a_clean_sample_is_a_bound_not_a_proof() -> None:
    assert bound_ppm(0, 0) == MILLION
    assert bound_ppm(0, 2_995) == 1_000
    assert bound_ppm(0, 29_955) == 101
    assert bound_ppm(0, 29_956) == 100
    assert bound_ppm(5, 5) == MILLION


@pytest.mark.parametrize(("ppm", "number"), [(0, 0), (MILLION + 1, 0), (-5, 0), (10, -1)])
def test_a_sample_that_cannot_be_is_refused(ppm: int, number: int) -> None:
    with pytest.raises(UsageError):
        Sample(ppm, "seed", number)
