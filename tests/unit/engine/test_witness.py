"""How much time the lines of an audit prove: in order, at most a day between two, never less than nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dualtrack.engine.auditlog import Line
from dualtrack.engine.witness import passed

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def line(days: float, fence: object = None, **changes: object) -> Line:
    told = {"time": (NOON + timedelta(days=days)).isoformat().replace("+00:00", "Z")}
    fields = told | ({} if fence is None else {"fence": fence}) | changes
    return Line(1, 0, b"", fields)


@pytest.mark.parametrize(
    ("lines", "now", "days"),
    [
        ([], 40, 0),
        ([line(0, 7)], 0.5, 0.5),
        ([line(0, 7)], 40, 1),
        ([line(0, 7), line(0.5), line(1.25, 8)], 2, 2),
        ([line(0, 7), line(90, 8), line(1, 9), line(1.5, 10)], 2, 2),
        ([line(-9, 1), line(-8, 2), line(0, 7)], 1, 1),
        ([line(-9, 1), line(0, 8)], 1, 1),
        ([line(-9, 1)], 1, 0),
        ([line(0, 7), Line(2, 0, b"torn", None), line(1, 8, time="?"), line(0, 8, time=5)], 1, 1),
        ([line(0, "seven"), line(0, 8, time="2026-11-26T12:00:00")], 1, 0),
        # The store before this one had come further with its fences: its days are not ours.
        ([*(line(n - 60, n) for n in range(60)), line(0, 1), line(0.25, 7), line(0.5, 8)], 40, 1.25),
        ([*(line(n - 60, n) for n in range(8, 60)), line(0, 1), line(0.5, 8)], 40, 1),
    ],
)
def test_what_is_proven(lines: list[Line], now: float, days: float) -> None:
    assert passed(lines, 7, NOON + timedelta(days=now)) == timedelta(days=days)
