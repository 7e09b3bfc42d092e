"""Sampled verification: finds what it looks at, looks at everything in its rounds, says how sure it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualtrack.engine.formats import xlmeta
from dualtrack.engine.owner import Owner
from dualtrack.engine.sampled import SampledVerification, next_sample
from dualtrack.engine.sampling import MILLION, Sample, bound_ppm
from dualtrack.engine.stores.protocol import Batch
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError
from dualtrack.proportions import lower_bound, upper_bound
from layers import new_drive
from planting import PLANTS
from sweepbench import Bench

Place = tuple[str, str]
pytestmark = pytest.mark.usefixtures("quick")
EMPTY = xlmeta.encode(xlmeta.empty())


def look(bench: Bench, owner: Owner, sample: Sample, **changes: object) -> Task:
    task = bench.task(owner, **changes)
    SampledVerification(task, sample).run()
    return task


def everything(number: int = 0) -> Sample:
    return Sample(MILLION, "seed", number)


def test_all_rounds_together_look_at_all_that_the_full_one_does(bench: Bench, owner: Owner) -> None:
    whole = look(bench, owner, everything()).counts["sampled"]
    rounds = Sample(300_000, "seed").rounds
    parts = [
        look(bench, owner, Sample(300_000, "seed", number)).counts["sampled"] for number in range(rounds)
    ]
    assert sum(parts) == whole
    listed = sum(number for name, number in owner.stats().objects.items() if not name.startswith("."))
    assert whole == listed
    assert min(parts) > 0


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_defect_is_found_in_the_round_that_looks_there_and_in_no_other(
    bench: Bench, owner: Owner, some: Place, kind: str
) -> None:
    plant, verdict = PLANTS[kind]
    plant(bench.drive, owner, some)
    place = (some[0], some[1] + ".new") if kind == "missing row" else some
    found = []
    for number in range(Sample(250_000, "seed").rounds):
        sample = Sample(250_000, "seed", number)
        if sample.chooser()(*place):
            with pytest.raises(DifferenceError, match=f"{place[1]}: {verdict}.*--round {number}"):
                look(bench, owner, sample)
            found.append(number)
        else:
            assert look(bench, owner, sample).counts["differences"] == 0
    assert len(found) == 1


def test_a_damaged_row_is_named_and_does_not_hide_the_others(
    bench: Bench, some: Place, tmp_path: Path
) -> None:
    bench.migrate()
    path = bench.store / "data.mdb"
    data = bench.file(*some).read_bytes()
    path.write_bytes(path.read_bytes().replace(data, data[:-1] + bytes((data[-1] ^ 1,))))
    with bench.owner() as owner:
        task = bench.task(owner)
        with pytest.raises(DifferenceError, match=f"{some[1]}: damagedRow"):
            SampledVerification(task, everything()).run()
        assert task.counts["damagedRow"] == 1
        assert task.counts["equal"] > 1


def test_a_clean_round_is_recorded_and_the_next_takes_the_next_slice(bench: Bench, owner: Owner) -> None:
    sample = next_sample(owner, 400_000)
    assert (sample.seed, sample.number) == (owner.info().store_uuid, 0)
    task = look(bench, owner, sample)
    record = json.loads(owner.meta("sampled") or b"")
    n = task.counts["sampled"]
    assert (record["n"], record["differences"], record["atMostPpm"]) == (n, 0, bound_ppm(0, n))
    assert next_sample(owner, 400_000).number == 1
    assert next_sample(owner, 400_000, "other").number == 0
    assert next_sample(owner, 400_000, number=7).number == 7


def test_a_round_with_a_difference_is_looked_at_again(bench: Bench, owner: Owner, some: Place) -> None:
    PLANTS["stale row"][0](bench.drive, owner, some)
    number = next(n for n in range(4) if Sample(250_000, "seed", n).chooser()(*some))
    for _ in range(2):
        with pytest.raises(DifferenceError):
            look(bench, owner, Sample(250_000, "seed", number))
    assert owner.meta("sampled") is None


def test_a_dry_run_records_nothing(bench: Bench, owner: Owner) -> None:
    look(bench, owner, everything(), dry_run=True)
    assert owner.meta("sampled") is None


def test_before_the_sweep_has_been_everywhere_a_missing_row_is_no_difference(
    bench: Bench, owner: Owner, some: Place
) -> None:
    PLANTS["missing row"][0](bench.drive, owner, some)
    owner.commit(Batch(meta={"swept_epoch": None}))
    task = look(bench, owner, everything())
    assert task.counts["notYet"] == 1
    assert task.counts["differences"] == 0


def test_a_key_that_stays_dirty_makes_it_incomplete(bench: Bench, owner: Owner, some: Place) -> None:
    PLANTS["stale row"][0](bench.drive, owner, some)
    owner.mark(*some)
    task = bench.task(owner, client_only=True)
    sampled = SampledVerification(task, everything())
    sampled.task.owner = _NeverDrained(owner)  # type: ignore[assignment]
    with pytest.raises(IncompleteError, match="could not be compared"):
        sampled.run()
    assert task.names == [f"{some[0]}/{some[1]}: cannot be compared now"]


class _NeverDrained:
    """An owner of another process, whose drain does not get on."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def __getattr__(self, name: str) -> object:
        return getattr(self._owner, name)


def test_sampling_finds_defects_at_the_rate_that_it_claims(tmp_path: Path) -> None:
    """120 real runs over a drive with planted defects, seeds 0 to 119."""
    objects, defects, ppm, runs = 200, 8, 50_000, 120
    bench = Bench(new_drive(tmp_path / "drive"), tmp_path / "store")
    for number in range(objects):
        path = bench.file("bucket", f"{number:03d}")
        path.parent.mkdir(parents=True)
        path.write_bytes(EMPTY)
    bench.migrate()
    with bench.owner() as owner:
        for number in range(0, objects, objects // defects):
            PLANTS["resurrected tombstone"][0](bench.drive, owner, ("bucket", f"{number:03d}"))
        found = looked_at = 0
        for seed in range(runs):
            task = bench.task(owner, dry_run=True)
            try:
                SampledVerification(task, Sample(ppm, str(seed))).run()
            except DifferenceError:
                found += 1
            looked_at += task.counts["sampled"]
    expected = 1 - (1 - defects / objects) ** (looked_at / runs)
    assert lower_bound(found, runs, 0.9995) <= expected <= upper_bound(found, runs, 0.9995)
