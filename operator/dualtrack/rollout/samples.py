"""Counting from raw samples: how much did counters grow between two moments, and may the answer be believed?

`rate()` and `increase()` extrapolate, and lose exactly the first errors after a restart. So ranges of raw
samples are asked for and counted here, series by series: a decrease is a reset and counts the new value; a
series first seen above 0 counts in full; the last sample before the interval is its base. What cannot be
believed has a name: nothing there, stale, partial, not a number, two series for one thing, an outage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dualtrack.rollout.world import Matrix, QueryFailure, QueryResult, Series

_SCRAPE_LABELS: Final = frozenset(
    {
        "instance",
        "job",
        "endpoint",
        "service",
        "container",
        "node",
        "prometheus",
        "prometheus_replica",
        "replica",
    }
)
"""Labels that say who scraped, not what was measured: series that differ only here are the same thing."""


class Trouble(StrEnum):
    EMPTY = "Empty"
    STALE = "Stale"
    PARTIAL = "Partial"
    NOT_A_NUMBER = "NotANumber"
    DUPLICATE = "Duplicate"
    UNREACHABLE = "Unreachable"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class Unusable:
    """An answer that does not count, and why."""

    trouble: Trouble
    message: str


@dataclass(frozen=True, slots=True)
class Growth:
    """How much the counters grew, and in how many series."""

    total: int
    series: int


def growth(
    result: QueryResult | None,
    start: float,
    end: float,
    *,
    staleness: float,
    processes: Mapping[str, float] | None = None,
) -> Growth | Unusable:
    """Growth within (start, end]. `processes` says when the process of each pod that is still there began."""
    usable = checked(result, start, end, staleness=staleness)
    if isinstance(usable, Unusable):
        return usable
    based = {s.labels.get("pod", "") for s in usable if s.points and s.points[0][0] <= start}
    total = 0.0
    for series in usable:
        pod = series.labels.get("pod", "")
        began = (processes or {}).get(pod)
        # An old process none of whose series has a base was not scraped for a while. That is a gap, not a
        # birth: what it counted before is not counted again.
        gap = pod not in based and began is not None and began <= start
        total += _series_growth(series.points, start, end, full=not gap)
    return Growth(round(total), len(usable))


def checked(
    result: QueryResult | None, start: float, end: float, *, staleness: float
) -> tuple[Series, ...] | Unusable:
    """The series of a whole, fresh, unambiguous answer up to `end`, or why there is none."""
    match result:
        case None:
            return Unusable(Trouble.EMPTY, "was not asked for")
        case QueryFailure(kind="Unreachable", message=message):
            return Unusable(Trouble.UNREACHABLE, message)
        case QueryFailure(kind=kind, message=message):
            return Unusable(Trouble.REFUSED, f"{kind}: {message}")
        case Matrix():
            return _checked_matrix(result, start, end, staleness)


def _checked_matrix(
    matrix: Matrix, start: float, end: float, staleness: float
) -> tuple[Series, ...] | Unusable:
    if matrix.warnings:
        return Unusable(Trouble.PARTIAL, f"partial data: {matrix.warnings[0]}")
    series = tuple(
        Series(s.labels, points)
        for s in matrix.series
        if (points := tuple(p for p in s.points if p[0] <= end))
    )
    if not series:
        return Unusable(Trouble.EMPTY, "no series")
    for one in series:
        if not all(math.isfinite(value) for _, value in one.points):
            return Unusable(Trouble.NOT_A_NUMBER, f"a sample that is no finite number in {_label(one)}")
    doubled = duplicate(series)
    if doubled is not None:
        return Unusable(Trouble.DUPLICATE, f"two series for the same thing: {_label(doubled)}")
    newest = max(s.points[-1][0] for s in series)
    if newest < end - staleness or newest <= start:
        return Unusable(Trouble.STALE, f"newest sample is {end - newest:.0f} s old")
    return series


def duplicate(series: Iterable[Series]) -> Series | None:
    """A series that another one overlaps in time although only scrape labels differ."""
    seen: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = {}
    for one in series:
        key = frozenset((k, v) for k, v in one.labels.items() if k not in _SCRAPE_LABELS)
        span = (one.points[0][0], one.points[-1][0])
        if any(span[0] < last and first < span[1] for first, last in seen.get(key, ())):
            return one
        seen.setdefault(key, []).append(span)
    return None


def _series_growth(points: tuple[tuple[float, float], ...], start: float, end: float, *, full: bool) -> float:
    base: float | None = None
    total = 0.0
    for time, value in points:
        if time <= start:
            base = value
            continue
        if base is None:
            total += value if full else 0.0
        elif value >= base:
            total += value - base
        else:
            total += value
        base = value
    return total


def _label(series: Series) -> str:
    name = series.labels.get("__name__", "")
    rest = ", ".join(f'{k}="{v}"' for k, v in sorted(series.labels.items()) if k != "__name__")
    return f"{name}{{{rest}}}"
