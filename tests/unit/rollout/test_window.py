"""Which time counts: the grid, gaps, coverage, and 48 hours of restarts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dualtrack.api.status_evidence import ObservationStatus
from dualtrack.api.status_target import EngineSettings
from dualtrack.rollout import window
from dualtrack.rollout.world import Matrix, QueryFailure, Series

NOW = datetime(2026, 11, 20, tzinfo=UTC)
WANTED = EngineSettings(engine="fs", ratio_percent=5, fallback="true", epoch=1)
LABELS = {"engine": "fs", "ratio": "0.05", "fallback": "true", "epoch": "1", "pod": "a"}


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "status": {"phase": "Running"}}


def info(times: list[float], **labels: str) -> Series:
    return Series({**LABELS, **labels}, tuple((t, 1.0) for t in times))


def unseen(*series: Series, pods: list[dict[str, Any]] | None = None) -> str:
    return window.unseen(Matrix(series), [pod("a")] if pods is None else pods, WANTED, 100, 160, 15)


STEADY = [85.0, 100.0, 115.0, 130.0, 145.0, 160.0]


def test_a_pod_scraped_all_the_time_in_the_wanted_mode_counts() -> None:
    assert unseen(info(STEADY)) == ""
    assert unseen(info(STEADY, ratio="0.050")) == ""


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ((), "no series"),
        ((info(STEADY, epoch="0"),), "another engine, ratio or epoch"),
        ((info(STEADY, engine="kv_only"),), "another engine, ratio or epoch"),
        ((info(STEADY, ratio="0.5"),), "another engine, ratio or epoch"),
        ((info(STEADY), info([130.0], epoch="0")), "another engine, ratio or epoch"),
        ((info([85.0, 100.0, 145.0, 160.0]),), "was not scraped all the time"),
        ((info([145.0, 160.0]),), "was not scraped all the time"),
        ((info(STEADY[:-3]),), "seconds old"),
    ],
)
def test_what_does_not_count_says_why(series: tuple[Series, ...], why: str) -> None:
    assert (unseen(*series) != "") if why == "seconds old" else (why in unseen(*series))


def test_every_expected_pod_counts_and_no_other() -> None:
    both = [pod("a"), pod("b")]
    assert "pod b" in unseen(info(STEADY), pods=both)
    assert unseen(info(STEADY), info(STEADY, pod="b"), pods=both) == ""
    leaving = [pod("a"), pod("b", deletionTimestamp="2026-11-20T00:00:00Z")]
    assert unseen(info(STEADY), pods=leaving) == ""
    assert unseen(info(STEADY), pods=[]) == "no pod is known to serve"


def test_an_outage_is_not_seen() -> None:
    found = window.unseen(QueryFailure("Unreachable", "refused"), [pod("a")], WANTED, 100, 160, 15)
    assert "refused" in found


def test_never_evaluated_before_it_is_due() -> None:
    seen = window.started(NOW, 600, 60)
    assert window.due(seen, NOW + timedelta(seconds=59), 60) is None
    assert window.due(seen, NOW + timedelta(seconds=60), 60) == NOW + timedelta(seconds=60)
    # Late: the newest whole interval, on the same grid.
    assert window.due(seen, NOW + timedelta(seconds=205), 60) == NOW + timedelta(seconds=180)


def test_an_evaluation_adds_one_interval_whatever_time_has_passed() -> None:
    seen = window.started(NOW, 600, 60)
    later = window.advance(seen, NOW + timedelta(hours=5), 60, 95, counts=True)
    assert later.observed_seconds == 60
    assert later.lost_seconds == 5 * 3600 - 60


def test_an_outage_ages_out_of_the_coverage() -> None:
    seen = _run(window.started(NOW, 600, 60), 5, counts=True)
    seen = _run(seen, 20, counts=False)
    assert seen.coverage_percent is not None
    assert seen.coverage_percent < 50
    seen = _run(seen, 10, counts=True)
    assert (seen.observed_seconds or 0) >= 600
    assert not window.complete(seen, 95)
    seen = _run(seen, 1, counts=True)
    assert window.complete(seen, 90)
    assert window.complete(_run(seen, 10, counts=True), 95)


def test_the_record_of_coverage_is_bounded() -> None:
    seen = window.started(NOW, 172_800, 60)
    for number in range(9000):
        seen = _run(seen, 1, counts=number % 33 != 0)
    assert len(seen.runs or ()) <= 64
    assert seen.coverage_percent in (96, 97)  # 32 of 33, and no worse with time


def test_killed_every_half_minute_for_48_hours_it_is_within_one_interval() -> None:
    """The process looks once and dies; the next one, 30 seconds later, has nothing but the status."""
    text, now, looks = window.started(NOW, 172_800, 60).model_dump_json(), NOW, 0
    while True:
        seen = ObservationStatus.model_validate_json(text)
        if window.complete(seen, 95):
            break
        at = window.due(seen, now, 60)
        if at is not None:
            text = window.advance(seen, at, 60, 95, counts=True).model_dump_json()
        now += timedelta(seconds=30)
        looks += 1
        assert looks < 10_000
    assert timedelta(0) <= (now - NOW) - timedelta(seconds=172_800) <= timedelta(seconds=60)


def _run(seen: ObservationStatus, intervals: int, *, counts: bool) -> ObservationStatus:
    for _ in range(intervals):
        assert seen.next_evaluation_time is not None
        seen = window.advance(seen, seen.next_evaluation_time, 60, 95, counts=counts)
    return seen
