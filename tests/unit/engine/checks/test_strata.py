"""Which objects get a closer look, and that a sample counts them apart."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.repair.apply import repair
from dualtrack.engine.repair.strategies import Strategy
from dualtrack.engine.sampled import SampledVerification
from dualtrack.engine.sampling import Sample
from dualtrack.engine.strata import LARGE_BYTES, RECENT_NS, Stratum, stratum_of
from dualtrack.engine.summary import Summary
from dualtrack.errors import DifferenceError
from planting import PLANTS
from sweepbench import Bench

pytestmark = pytest.mark.usefixtures("quick")
NOW = 1_800_000_000 * 1_000_000_000
USUAL = Summary(Kind.OBJECT, 1, NOW - 2 * RECENT_NS, 10, "", "STANDARD", True)


@pytest.mark.parametrize(
    ("changes", "stratum"),
    [
        ({}, None),
        ({"kind": Kind.DELETE_MARKER}, Stratum.DELETE_MARKER),
        ({"kind": None}, Stratum.DELETE_MARKER),
        ({"version_count": 2}, Stratum.MANY_VERSIONS),
        ({"size": LARGE_BYTES}, Stratum.LARGE),
        ({"mod_time_ns": NOW}, Stratum.RECENT),
        ({"kind": Kind.DELETE_MARKER, "version_count": 9}, Stratum.DELETE_MARKER),
    ],
)
def test_what_an_index_entry_says(changes: dict[str, object], stratum: Stratum | None) -> None:
    assert stratum_of(USUAL._replace(**changes), NOW) is stratum


def test_a_closer_look_finds_what_the_uniform_sample_leaves_out_and_is_counted_apart(
    bench: Bench,
) -> None:
    bench.migrate()
    sample = Sample(20_000, "seed")
    uniform = sample.chooser()
    # Seen from 1990 every object is recent, so that 10 x 2 % of all get a closer look.
    wide = Sample(200_000, "seed").chooser()
    keys = [f"{number:02d}" for number in range(48)]
    only_closer = [key for key in keys if wide("bkt", key) and not uniform("bkt", key)]
    with bench.owner() as owner:
        recent = bench.task(owner, now=lambda: datetime(1990, 1, 1, tzinfo=UTC))
        SampledVerification(recent, sample).run()
        told = recent.notes["sample"]
        assert isinstance(told, dict)
        assert told["n"] == sum(uniform("bkt", key) for key in keys)
        assert sum(n for n, _ in told["strata"].values()) == len(only_closer)
        PLANTS["stale row"][0](bench.drive, owner, ("bkt", only_closer[0]))
        task = bench.task(owner, now=lambda: datetime(1990, 1, 1, tzinfo=UTC))
        with pytest.raises(DifferenceError, match=f"{only_closer[0]}: content"):
            SampledVerification(task, sample).run()
        told = task.notes["sample"]
        assert isinstance(told, dict)
        assert (told["differences"], sum(wrong for _, wrong in told["strata"].values())) == (0, 1)


def test_repaired_objects_are_looked_at_every_time(bench: Bench, tmp_path: Path) -> None:
    bench.migrate()
    bench.verify()
    sample = Sample(1, "seed")
    with bench.owner() as owner:
        PLANTS["stale row"][0](bench.drive, owner, ("bkt", "03"))
        task = bench.task(owner)
        with DriveLock.acquire(str(bench.drive), task.fence, task.run_id) as lock:
            task.lock = lock
            repair(task, Strategy.SYNC_TO_KV)
        task = bench.task(owner)
        SampledVerification(task, sample).run()
        told = task.notes["sample"]
        assert isinstance(told, dict)
        assert told["strata"][Stratum.REPAIRED] == [1, 0]
        PLANTS["stale row"][0](bench.drive, owner, ("bkt", "03"))
        with pytest.raises(DifferenceError, match="bkt/03: "):
            SampledVerification(bench.task(owner), sample).run()
