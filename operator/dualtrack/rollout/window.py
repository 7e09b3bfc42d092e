"""Observed-healthy time: which seconds count, and how much of the trailing window was seen.

A second counts only inside an interval in which every expected pod was scraped and reported the wanted
engine, ratio and epoch, and no gate failed. One evaluation judges one interval of the grid, so that a jump
of the clock, or a long sleep of the operator, can never add more than one. What lies between two evaluations
that are further apart is lost: it is counted as lost, and ages out of the coverage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from dualtrack.api.status_evidence import CoverageRun, ObservationStatus
from dualtrack.api.status_target import EngineSettings
from dualtrack.rollout import kube, modes, samples
from dualtrack.rollout.samples import Unusable
from dualtrack.rollout.world import JsonObject, QueryResult, Series

_RUNS_LIMIT = 64
_GAP_SCRAPES = 2.5
_GAP_SECONDS = 1.0
"""Samples further apart than so many scrapes and seconds (a busy scraper) have a gap between them."""


def started(
    now: datetime, required: int, interval: int, *, since: datetime | None = None
) -> ObservationStatus:
    """A window that begins now. `since` keeps the first start where a window is restarted."""
    return ObservationStatus(
        start_time=since or now,
        window_start=now,
        observed_seconds=0,
        required_seconds=required,
        lost_seconds=0,
        coverage_percent=0,
        last_evaluation_time=now,
        next_evaluation_time=now + timedelta(seconds=interval),
    )


def due(window: ObservationStatus, now: datetime, interval: int) -> datetime | None:
    """The newest end of an interval that may be evaluated; never before `nextEvaluationTime`."""
    following = window.next_evaluation_time
    if following is None or now < following:
        return None
    behind = int((now - following).total_seconds() // interval)
    return following + timedelta(seconds=behind * interval)


def advance(
    window: ObservationStatus, at: datetime, interval: int, coverage_percent: int, *, counts: bool
) -> ObservationStatus:
    """The window after the interval that ends at `at`."""
    last = window.last_evaluation_time or at - timedelta(seconds=interval)
    missed = max(0, round((at - last).total_seconds() / interval) - 1)
    trailing = _trailing(window.required_seconds or 0, interval, coverage_percent)
    lost, gained = missed + (0 if counts else 1), 1 if counts else 0
    runs = _append(window.runs or (), lost, gained, trailing)
    good = sum(r.good for r in runs)
    seen = good + sum(r.lost for r in runs)
    return window.model_copy(
        update={
            "observed_seconds": (window.observed_seconds or 0) + (interval if counts else 0),
            "lost_seconds": (window.lost_seconds or 0) + interval * lost,
            "coverage_percent": math.floor(100 * good / seen) if seen else 0,
            "runs": runs,
            "last_evaluation_time": at,
            "next_evaluation_time": at + timedelta(seconds=interval),
        }
    )


def passed_by(window: ObservationStatus, at: datetime, interval: int) -> ObservationStatus:
    """The window after an evaluation outside of it: nothing is counted, and nothing is lost."""
    return window.model_copy(
        update={"last_evaluation_time": at, "next_evaluation_time": at + timedelta(seconds=interval)}
    )


def complete(window: ObservationStatus, coverage_percent: int) -> bool:
    """Whether enough good time was seen, in enough of the trailing window."""
    required = window.required_seconds or 0
    return (window.observed_seconds or 0) >= required and (
        required == 0 or (window.coverage_percent or 0) >= coverage_percent
    )


def unseen(
    result: QueryResult | None,
    pods: Iterable[JsonObject] | None,
    wanted: EngineSettings | None,
    start: float,
    end: float,
    scrape: int,
) -> str:
    """Why the interval (start, end] was not seen whole and as wanted; empty when it was."""
    expected = [kube.name(p) for p in kube.serving(pods)]
    if not expected:
        return "no pod is known to serve"
    gap = _GAP_SCRAPES * scrape + _GAP_SECONDS
    series = samples.checked(result, start, end, staleness=gap)
    if isinstance(series, Unusable):
        return f"the pods' own report (rustfs_dual_track_info): {series.message}"
    for pod in expected:
        own = [s for s in series if s.labels.get("pod") == pod]
        others = [s for s in own if not _as_wanted(s, wanted)]
        if any(start < time <= end for s in others for time, _ in s.points):
            return f"pod {pod} reported another engine, ratio or epoch"
        times = sorted(t for s in own if s not in others for t, value in s.points if value == 1)
        if not _covers(times, start, end, gap):
            return f"pod {pod} was not scraped all the time"
    return ""


def _as_wanted(series: Series, wanted: EngineSettings | None) -> bool:
    if wanted is None:
        return False
    labels = series.labels
    return (
        labels.get("engine") == wanted.engine
        and labels.get("fallback", "").lower() == wanted.fallback
        and labels.get("epoch") == str(wanted.epoch)
        and modes.same_ratio(labels.get("ratio", ""), wanted.ratio_percent or 0)
    )


def _covers(times: list[float], start: float, end: float, gap: float) -> bool:
    inside = [t for t in times if start < t <= end]
    before = [t for t in times if t <= start]
    points = [*(before[-1:] or [start]), *inside, end]
    return bool(inside) and all(b - a <= gap for a, b in pairwise(points))


def _trailing(required: int, interval: int, coverage_percent: int) -> int:
    return max(1, math.ceil(required * 100 / max(1, coverage_percent) / interval))


def _append(runs: tuple[CoverageRun, ...], lost: int, good: int, trailing: int) -> tuple[CoverageRun, ...]:
    """The runs with these intervals at their end. A run holds so many that at most 64 cover the window.

    Short windows get a run for each interval. In long ones the oldest run ages out as a whole, so that
    what is forgotten is neither better nor worse than what was there.
    """
    size = math.ceil(trailing / (_RUNS_LIMIT - 2))
    grown = list(runs)
    for counts, number in ((False, min(lost, trailing)), (True, good)):
        left = number
        while left > 0:
            if not grown or grown[-1].good + grown[-1].lost >= size:
                grown.append(CoverageRun())
            last = grown[-1]
            part = min(left, size - last.good - last.lost)
            grown[-1] = CoverageRun(
                good=last.good + (part if counts else 0), lost=last.lost + (0 if counts else part)
            )
            left -= part
    total = sum(r.good + r.lost for r in grown)
    while len(grown) > 1 and total - grown[0].good - grown[0].lost >= trailing:
        total -= grown[0].good + grown[0].lost
        grown.pop(0)
    return tuple(grown[-_RUNS_LIMIT:])
