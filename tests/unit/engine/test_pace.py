"""The sweep's pace: so many objects a day, over restarts, with nothing saved up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from dualtrack.engine.pace import META, Pace
from dualtrack.errors import UsageError

DAY = 86_400


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def pace_file(path: Path, per_day: object) -> str:
    path.write_text(json.dumps({"objectsPerDay": per_day}))
    return str(path)


def swept_in(clock: Clock, pace: Pace, seconds: float, batch: int) -> int:
    """How many objects a sweep reads that does nothing but keep to the pace."""
    end, count = clock.now + seconds, 0
    while clock.now < end:
        wait = pace.wait()
        clock.now += max(wait, 0.001)
        if wait == 0:
            pace.take(batch)
            count += batch
    return count


@pytest.mark.parametrize(("per_day", "batch"), [(86_400, 100), (1_000_000, 1_024), (1_000, 1)])
def test_a_day_brings_a_days_objects(tmp_path: Path, per_day: int, batch: int) -> None:
    clock = Clock()
    pace = Pace(pace_file(tmp_path / "pace", per_day), None, clock)
    count = swept_in(clock, pace, DAY / 24, batch)
    assert abs(count - per_day / 24) <= batch + per_day / 1_440


def test_without_a_file_or_a_number_there_is_no_limit(tmp_path: Path) -> None:
    for pace in (
        Pace(None, None, Clock()),
        Pace(pace_file(tmp_path / "pace", None), None, Clock()),
    ):
        assert pace.take(10**9) == {}
        assert pace.wait() == 0


def test_a_restart_gains_nothing(tmp_path: Path) -> None:
    clock, path = Clock(), pace_file(tmp_path / "pace", 86_400)
    pace = Pace(path, None, clock)
    stored = pace.take(600)[META]
    assert pace.wait() == pytest.approx(600)
    assert Pace(path, stored, clock).wait() == pytest.approx(600)


def test_idle_days_are_not_saved_up(tmp_path: Path) -> None:
    clock, path = Clock(), pace_file(tmp_path / "pace", 86_400)
    stored = Pace(path, None, clock).take(1)[META]
    clock.now += 30 * DAY
    pace = Pace(path, stored, clock)
    assert swept_in(clock, pace, 600, 10) <= 600 + 60 + 10


def test_a_clock_that_goes_back_gives_nothing(tmp_path: Path) -> None:
    clock = Clock()
    pace = Pace(pace_file(tmp_path / "pace", 86_400), None, clock)
    pace.take(600)
    clock.now -= DAY
    assert pace.wait() >= 600


def test_the_file_is_read_again_each_minute(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "pace"
    pace = Pace(pace_file(path, 86_400), None, clock)
    pace.take(6_000)
    pace_file(path, 864_000)
    assert pace.wait() == pytest.approx(6_000)
    clock.now += 60
    assert pace.wait() < 600
    path.write_text("{")
    clock.now += 60
    assert 0 < pace.wait() < 600


@pytest.mark.parametrize("text", ["", "[]", '{"objectsPerDay": 0}', '{"objectsPerDay": "9"}', "{"])
def test_a_sweep_does_not_start_with_a_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "pace").write_text(text)
    with pytest.raises(UsageError, match="pace"):
        Pace(str(tmp_path / "pace"), None, Clock())


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing-there"):
        Pace(str(tmp_path / "nothing-there"), None, Clock())
