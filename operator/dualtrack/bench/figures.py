"""From single times to what is told of them. Pure; times in seconds.

Percentiles are nearest-rank: a figure that was really measured, never one between two. Ratios are taken round
by round, the medians of two systems in the same round, and quoted as their median with the smallest and the
largest, which is how far to trust them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one operation on one system. `rounds` are the medians of its rounds, by their number.

    A rate is operations over the time that clients waited for them, times the clients: what the load
    generator does between two operations is not the system's.
    """

    count: int
    least: float
    mean: float
    p50: float
    p99: float
    most: float
    operations_per_second: float
    bytes_per_second: float
    rounds: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as the first system."""

    median: float
    least: float
    most: float


def figures(times: Mapping[int, Sequence[float]], size: int, clients: int) -> Figures | None:
    """Of the times of each round; None where nothing succeeded. `size` is the bytes of one operation."""
    everything = sorted(time for each in times.values() for time in each)
    if not everything:
        return None
    total = math.fsum(everything)
    rate = clients * len(everything) / total if total else math.inf
    return Figures(
        count=len(everything),
        least=everything[0],
        mean=total / len(everything),
        p50=percentile(everything, 0.5),
        p99=percentile(everything, 0.99),
        most=everything[-1],
        operations_per_second=rate,
        bytes_per_second=rate * size,
        rounds={number: percentile(sorted(each), 0.5) for number, each in times.items() if each},
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def ratio(first: Figures, other: Figures) -> Ratio | None:
    """None where the two have no round in common."""
    found = [
        first.rounds[number] / other.rounds[number] for number in sorted(first.rounds.keys() & other.rounds)
    ]
    return Ratio(statistics.median(found), min(found), max(found)) if found else None
