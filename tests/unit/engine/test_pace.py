"""The sweep's pace: so many objects a day, over restarts, with nothing saved up, and less beside others."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import pacefile
from dualtrack.engine.pace import META, Pace
from dualtrack.engine.pressure import DataPlaneP99, Slowest, buckets, percentile, pressure
from dualtrack.engine.throttle import LEAST, TRICKLE_PER_SECOND, Throttle, Zone
from dualtrack.errors import UsageError

DAY = 86_400


@dataclass
class Clock:
    """Both clocks of a machine; `steps` is how far the wall clock was set since the start."""

    now: float = 1_000_000.0
    steps: float = 0.0

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000 + self.now + self.steps


def paced(path: str | None, stored: bytes | None, clock: Clock, **named: Any) -> Pace:
    return Pace(path, stored, clock.wall, clock, **named)


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
    pace = paced(pace_file(tmp_path / "pace", per_day), None, clock)
    count = swept_in(clock, pace, DAY / 24, batch)
    assert abs(count - per_day / 24) <= batch + per_day / 1_440


def test_without_a_file_or_a_number_there_is_no_limit(tmp_path: Path) -> None:
    for pace in (
        paced(None, None, Clock()),
        paced(pace_file(tmp_path / "pace", None), None, Clock()),
    ):
        assert pace.take(10**9) == {}
        assert pace.wait() == 0


def test_a_restart_gains_nothing(tmp_path: Path) -> None:
    clock, path = Clock(), pace_file(tmp_path / "pace", 86_400)
    pace = paced(path, None, clock)
    stored = pace.take(600)[META]
    assert pace.wait() == pytest.approx(600)
    assert paced(path, stored, clock).wait() == pytest.approx(600)


def test_idle_days_are_not_saved_up(tmp_path: Path) -> None:
    clock, path = Clock(), pace_file(tmp_path / "pace", 86_400)
    stored = paced(path, None, clock).take(1)[META]
    clock.now += 30 * DAY
    pace = paced(path, stored, clock)
    assert swept_in(clock, pace, 600, 10) <= 600 + 60 + 10


@pytest.mark.parametrize("step", [-DAY, -3600, 3600, DAY], ids=["day back", "DST", "DST", "day on"])
def test_a_wall_clock_that_is_set_gives_nothing_and_takes_nothing(tmp_path: Path, step: float) -> None:
    clock, path = Clock(), pace_file(tmp_path / "pace", 86_400)
    pace = paced(path, None, clock)
    pace.take(600)
    clock.steps = step
    assert pace.wait() == pytest.approx(600)
    after = paced(path, pace.take(0)[META], clock)
    # A wall clock that was set forward while nobody ran cannot be told from time that has passed: it forgives
    # what one batch took in advance, and saves up no more than a minute.
    assert after.wait() == pytest.approx(600 if step < 0 else 0)
    assert swept_in(clock, after, 600, 10) <= 600 + 60 + 10


def test_the_file_is_read_again_each_minute(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "pace"
    pace = paced(pace_file(path, 86_400), None, clock)
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
        paced(str(tmp_path / "pace"), None, Clock())


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing-there"):
        paced(str(tmp_path / "nothing-there"), None, Clock())


def test_the_slower_of_both_quotas_counts(tmp_path: Path) -> None:
    def per_day(fields: dict[str, object], counted: int | None = None) -> float:
        return pacefile.parse(fields, counted).per_day

    assert per_day({"percentPerWeek": 20, "objects": 3_500_000}) == 100_000
    assert per_day({"percentPerWeek": 20, "objectsPerDay": 50_000, "objects": 3_500_000}) == 50_000
    assert per_day({"percentPerWeek": 20}, counted=350) == 10
    assert per_day({"percentPerWeek": 1, "objects": 3}) == 1
    assert per_day({"percentPerWeek": 1_400, "objects": 3}) == 6
    with pytest.raises(UsageError, match="of how many"):
        per_day({"percentPerWeek": 20})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"objectsPerDya": 5}, "objectsPerDya"),
        ({"percentPerWeek": 1_000_000_001, "objects": 5}, "percentPerWeek"),
        ({"objectsPerDay": True}, "objectsPerDay"),
        ({"concurrency": 0}, "concurrency is 0; write a whole number from 1 to 256"),
        ({"concurrency": 257}, "concurrency"),
        ({"priority": "alphabet"}, "alphabet"),
        ({"heed": {"ioPressure": [40, 20]}}, "ioPressure"),
        ({"heed": {"ioPressure": 40}}, "ioPressure"),
        ({"heed": {"swap": [1, 2]}}, "swap"),
        ({"heed": {"p99Ms": [20, 50]}}, "metricsURL"),
        ({"heed": {"metricsURL": "file:///etc/passwd"}}, "metricsURL"),
        ([], "object"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(fields: object, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        pacefile.parse(fields, None)


class Machine:
    """A drive that a sweep keeps as busy as its share of the time; others keep it busy by `others`."""

    def __init__(self, tmp_path: Path, heed: dict[str, object], **fields: object) -> None:
        self.clock = Clock()
        self.others: float | None = 0.0
        self.worked = self.passed = 0.0
        self.objects = 0
        path = tmp_path / "pace"
        path.write_text(json.dumps({"heed": heed, **fields}))
        self.pace = paced(
            str(path), None, self.clock, signals=lambda file, slowest: {"ioPressure": self.busy}
        )

    def busy(self) -> float | None:
        if self.others is None:
            return None
        return self.others + 100 * (self.worked / self.passed if self.passed else 0.0)

    def run(self, seconds: float) -> float:
        """The share of the time that the sweep worked in the last half of it."""
        end, half = self.clock.now + seconds, self.clock.now + seconds / 2
        total = 0.0
        while self.clock.now < end:
            wait = min(self.pace.wait(), 1.0)
            step = wait or 0.1
            if not wait:
                self.pace.take(100)
                self.objects += 100
            self.clock.now += step
            decay = max(0.0, 1 - step / 10)
            self.worked = self.worked * decay + (0.0 if wait else step)
            self.passed = self.passed * decay + step
            total += (0.0 if wait else step) if self.clock.now > half else 0.0
        return total / (seconds / 2)


def test_an_idle_drive_is_used_wholly(tmp_path: Path) -> None:
    assert Machine(tmp_path, {"ioPressure": [150, 200]}).run(600) > 0.95


def test_a_busy_drive_is_left_to_the_others_and_taken_up_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"ioPressure": [60, 120]})
    machine.others = 130.0
    assert machine.run(600) < 0.05
    assert machine.pace.waited["ioPressure"] > 500
    machine.others = 0.0
    assert machine.run(600) > 0.5


def test_in_the_zone_the_share_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"ioPressure": [40, 60]})
    assert 0.25 < machine.run(3_600) < 0.65


def test_a_signal_that_is_gone_leaves_a_small_budget_and_no_more(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"ioPressure": [40, 60]})
    machine.others = None
    machine.run(600)
    assert 0 < machine.objects <= TRICKLE_PER_SECOND * 600 + 200
    assert machine.pace.waited["ioPressure"] > 500
    machine.others = 0.0
    before = machine.objects
    machine.run(600)
    assert machine.objects - before > 10 * TRICKLE_PER_SECOND * 600


@pytest.mark.parametrize(
    ("share", "readings", "share_after", "reasons"),
    [
        (0.5, {"a": 5.0, "b": 5.0}, 0.55, ()),
        (0.98, {"a": 5.0, "b": 5.0}, 1.0, ()),
        (0.5, {"a": 5.0, "b": 15.0}, 0.5, ()),
        (0.5, {"a": 25.0, "b": 15.0}, 0.25, ("a",)),
        (0.5, {"a": 25.0, "b": 25.0}, 0.25, ("a", "b")),
        (LEAST, {"a": 25.0, "b": 0.0}, LEAST, ("a",)),
        (0.5, {"a": None, "b": 0.0}, LEAST, ("a",)),
        (0.5, {"b": 25.0}, LEAST, ("a",)),
    ],
)
def test_what_a_look_at_the_signals_decides(
    share: float, readings: dict[str, float | None], share_after: float, reasons: tuple[str, ...]
) -> None:
    zones = {"a": Zone(10, 20), "b": Zone(10, 20)}
    after = Throttle(share).next(readings, zones)
    assert after.share == pytest.approx(share_after)
    assert after.reasons == reasons


def test_rest_follows_from_work_and_share() -> None:
    assert Throttle().rest(2.0, 1000) == 0
    assert Throttle(0.25).rest(2.0, 1000) == 6
    assert Throttle(LEAST, ("a",), ("a",)).rest(0.1, 1000) == 1000 / TRICKLE_PER_SECOND


def test_pressure_is_the_kernel_s_figure_or_gone(tmp_path: Path) -> None:
    (tmp_path / "io").write_text("some avg10=12.50 avg60=1.00 avg300=0.00 total=5\nfull avg10=3.00 total=1\n")
    (tmp_path / "cpu").write_text("")
    assert pressure("io", tmp_path)() == 12.5
    assert pressure("cpu", tmp_path)() is None
    assert pressure("memory", tmp_path)() is None


def exposition(counts: list[int]) -> str:
    bounds = ("1", "5", "50", "+Inf")
    return "# HELP x y\n" + "".join(
        f'rustfs_{operation}_object_latency_ms_bucket{{le="{bound}",track="fs"}} {count}.0\n'
        for operation in ("get", "put")
        for bound, count in zip(bounds, counts, strict=True)
    )


def test_the_p99_is_of_what_was_counted_since_the_last_look() -> None:
    first, second = buckets(exposition([100, 100, 100, 100])), buckets(exposition([100, 200, 203, 203]))
    assert first is not None
    assert second is not None
    assert percentile(first, {}) == 1
    assert percentile(second, first) == 50
    assert percentile(second, second) == 0
    assert percentile(first, second) == 1, "a data plane that restarted counts anew"
    assert buckets("nothing of the kind 5") is None


def test_the_p99_comes_from_a_data_plane_and_is_gone_with_it() -> None:
    answers = [exposition([10, 10, 10, 10]), exposition([10, 10, 20, 20]), "no histogram"]

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.pop(0).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    p99 = DataPlaneP99(f"http://127.0.0.1:{server.server_port}/metrics")
    try:
        assert [p99(), p99(), p99()] == [1, 50, None]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert p99() is None


def test_the_store_s_latency_is_that_of_its_slowest_commit() -> None:
    slowest = Slowest()
    slowest.took(0.02)
    slowest.took(0.3)
    assert (slowest(), slowest()) == (300, 0)
