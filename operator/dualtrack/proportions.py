"""Exact one-sided bounds on a proportion: what `bad` out of `samples` says of all.

Clopper and Pearson's bounds (Biometrika 26, 1934), by the regularised incomplete beta function: for `k` bad
of `n`, the upper bound at confidence `c` solves I_p(k+1, n-k) = c, the lower one I_p(k, n-k+1) = 1-c. No
scipy: the function is the continued fraction of DLMF 8.17.22, evaluated by Lentz's method, and the bounds are
bisected. Tests compare both with the binomial sum in exact rational arithmetic. The rollout's gates and the
engine's samples are judged by the same bounds.
"""

from __future__ import annotations

import math
from typing import Final

_TINY: Final = 1e-300
_EPSILON: Final = 1e-16
_MOST_TERMS: Final = 1_000_000
_BISECTIONS: Final = 200


def upper_bound(bad: int, samples: int, confidence: float) -> float:
    """The largest rate that `bad` of `samples` does not exclude; 1 where nothing was measured."""
    check_count(bad, samples)
    if bad >= samples:
        return 1.0
    if bad == 0:
        return -math.expm1(math.log1p(-confidence) / samples)
    return _solve(bad + 1.0, float(samples - bad), confidence)


def lower_bound(bad: int, samples: int, confidence: float) -> float:
    """The smallest rate that `bad` of `samples` does not exclude; 0 where nothing bad was seen."""
    check_count(bad, samples)
    if bad == 0:
        return 0.0
    if bad == samples:
        return math.exp(math.log1p(-confidence) / samples)
    return _solve(float(bad), samples - bad + 1.0, 1.0 - confidence)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b) for a, b > 0."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    # Each of the two expansions converges fast on its own side of the mean.
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, _away(1.0 - (a + b) * x / (a + 1.0))
    d = 1.0 / d
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d, c = 1.0 / _away(1.0 + even * d), _away(1.0 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d, c = 1.0 / _away(1.0 + odd * d), _away(1.0 + odd / c)
        value *= d * c
        if abs(d * c - 1.0) < _EPSILON * 4:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge for a={a}, b={b}, x={x}")


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _solve(a: float, b: float, target: float) -> float:
    """The p with I_p(a, b) = target. I grows with p, so bisection cannot fail."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if middle in (low, high) or high - low <= 1e-14 * high:
            break
        if incomplete_beta(a, b, middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def check_count(bad: int, samples: int) -> None:
    if not 0 <= bad <= samples:
        raise ValueError(f"{bad} bad of {samples} samples is not a count")
