"""The bounds against the binomial sum in rational arithmetic, and the design's own figures."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from dualtrack.rollout import evidence


def tail_at_most(bad: int, samples: int, rate: Fraction) -> Fraction:
    """P(X <= bad), exactly."""
    return sum(
        (math.comb(samples, k) * rate**k * (1 - rate) ** (samples - k) for k in range(bad + 1)), Fraction(0)
    )


@pytest.mark.parametrize(("bad", "needed"), [(0, 29_956), (1, 47_437), (2, 62_956)])
def test_the_designs_figures_for_one_in_ten_thousand(bad: int, needed: int) -> None:
    assert evidence.samples_for_pass(bad, 0.0001, 0.95) == needed
    assert evidence.upper_bound(bad, needed, 0.95) <= 0.0001
    assert evidence.upper_bound(bad, needed - 1, 0.95) > 0.0001


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(
    ("bad", "samples"), [(0, 1), (0, 40), (1, 2), (1, 40), (3, 40), (20, 40), (39, 40), (7, 300), (150, 300)]
)
def test_bounds_solve_the_binomial_sum(bad: int, samples: int, confidence: float) -> None:
    upper = evidence.upper_bound(bad, samples, confidence)
    assert float(tail_at_most(bad, samples, Fraction(upper))) == pytest.approx(1 - confidence, abs=1e-9)
    if bad:
        lower = evidence.lower_bound(bad, samples, confidence)
        above = 1 - float(tail_at_most(bad - 1, samples, Fraction(lower)))
        assert above == pytest.approx(1 - confidence, abs=1e-9)
        assert lower < bad / samples < upper


@pytest.mark.parametrize(
    ("a", "b", "x"), [(1, 5, 0.2), (3, 4, 0.5), (10, 90, 0.1), (2, 398, 0.004), (200, 2, 0.99)]
)
def test_incomplete_beta_is_the_binomial_tail(a: int, b: int, x: float) -> None:
    n = a + b - 1
    exact = 1 - tail_at_most(a - 1, n, Fraction(x))
    assert evidence.incomplete_beta(a, b, x) == pytest.approx(float(exact), abs=1e-12)


def test_bounds_hold_for_very_large_samples() -> None:
    upper = evidence.upper_bound(100, 1_000_000_000, 0.95)
    # For so many samples the bound is Poisson's: half the 95 % quantile of chi-square with 202 degrees.
    assert upper * 1e9 == pytest.approx(118.0849, abs=0.01)


def test_edges() -> None:
    assert evidence.upper_bound(0, 0, 0.95) == 1.0
    assert evidence.upper_bound(5, 5, 0.95) == 1.0
    assert evidence.lower_bound(0, 10, 0.95) == 0.0
    assert evidence.lower_bound(5, 5, 0.95) == pytest.approx(0.05 ** (1 / 5))
    with pytest.raises(ValueError, match="3 bad of 2 samples"):
        evidence.upper_bound(3, 2, 0.95)
    with pytest.raises(ValueError, match="limit between 0 and 1"):
        evidence.samples_for_pass(0, 0.0, 0.95)


def test_trip_needs_enough_bad_events_and_a_lower_bound_over_the_limit() -> None:
    assert not evidence.shown_above(4, 100, 0.0001, 0.95, minimum_bad=5)
    assert evidence.shown_above(5, 100, 0.0001, 0.95, minimum_bad=5)
    assert not evidence.shown_above(5, 50_000, 0.0001, 0.95, minimum_bad=5)
    assert not evidence.shown_above(0, 100, 0.0, 0.95, minimum_bad=0)


def test_judged_again_only_when_the_sample_has_grown_by_half() -> None:
    assert evidence.judgement_due(10, 0)
    assert not evidence.judgement_due(149, 100)
    assert evidence.judgement_due(150, 100)
