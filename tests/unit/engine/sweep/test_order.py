"""The buckets in another order than the walk's: the same rows, wherever the pass is cut off."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.engine import batches, bucket_order, migrate
from dualtrack.engine.drive import Drive
from dualtrack.engine.pacefile import PaceFile, Priority
from dualtrack.engine.stretches import stretch_of
from dualtrack.engine.walk import Cursor
from dualtrack.errors import IncompleteError
from layers import new_drive
from sweepbench import Bench


def swept(bench: Bench, pace: PaceFile, stop_after: int = 0) -> list[str]:
    """Sweep, cut off after some batches if so asked; the buckets in the order that they were committed in."""
    seen: list[str] = []
    with bench.owner() as owner:
        task = bench.task(owner)
        task.stop = lambda: 0 < stop_after <= len(seen)
        sweep = migrate.Sweep(task, paced(pace))
        commit = owner.commit

        def noting(batch: migrate.Batch) -> object:
            seen.extend(put.row.bucket for put in batch.puts)
            return commit(batch)

        owner.commit = noting  # type: ignore[assignment,method-assign]
        with suppress(IncompleteError):  # that it was cut off
            sweep.run()
    return list(dict.fromkeys(each for each in seen if not each.startswith(".")))


def paced(pace: PaceFile) -> migrate.Pace:
    made = migrate.Pace(None, None)
    made.file = pace
    return made


def digest(bench: Bench) -> str:
    with bench.owner() as owner:
        return str(owner.digest())


@pytest.mark.parametrize("priority", list(Priority))
def test_a_pass_in_any_order_gives_the_same_rows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, priority: Priority
) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 20)
    with bench.owner() as owner:
        expected = bucket_order.choose(Drive.open(bench.drive), priority, {}, 5).buckets
        assert owner.stats().objects == {}
    sides = [swept(bench, PaceFile(priority=priority), stop_after=number) for number in (1, 200, 0)]
    order = list(dict.fromkeys(bucket for side in sides for bucket in side))
    if priority is not Priority.RANDOM:
        assert order == [bucket for bucket in expected if bucket in order]
    plain = Bench(bench.drive, Path(str(bench.store) + "-plain"))
    swept(plain, PaceFile())
    assert digest(bench) == digest(plain)


def test_the_largest_comes_first_and_access_times_count_where_there_are_any(
    tmp_path: Path, bench: Bench
) -> None:
    drive = Drive.open(bench.drive)
    buckets = drive.buckets()
    last = buckets[-1]
    sized = bucket_order.choose(drive, Priority.SIZE, {last: 10**6}, 0)
    assert sized.buckets[0] == last
    files = [path for path in (bench.drive / buckets[1]).rglob("*") if path.is_file()]
    for path in (each for each in bench.drive.rglob("*") if each.is_file()):
        os.utime(path, ns=(10**18, 10**18))
    silent = bucket_order.choose(drive, Priority.ACCESS_FREQUENCY, {last: 10**6}, 0)
    assert silent.told.startswith("none")
    assert silent.buckets == sized.buckets
    for path in files:
        os.utime(path, ns=(2 * 10**18, 10**18))
    told = bucket_order.choose(drive, Priority.ACCESS_FREQUENCY, {}, 0)
    assert told.buckets[0] == buckets[1]
    assert told.told.startswith("access frequency")


ASKED = """
import sys
from dualtrack.engine import bucket_order
from dualtrack.engine.drive import Drive
from dualtrack.engine.pacefile import Priority
print(bucket_order.choose(Drive.open(sys.argv[1]), Priority.ACCESS_FREQUENCY, {}, 0).told)
"""


@pytest.mark.parametrize(("option", "told"), [("strictatime", "access frequency"), ("noatime", "none")])
def test_a_mount_that_keeps_no_access_times_is_said_to_tell_none(
    tmp_path: Path, option: str, told: str
) -> None:
    """Copied files have access times there, too, but of no reader: they must not decide."""
    drive = new_drive(tmp_path / "drive")
    (drive / "bucket").mkdir()
    (drive / "bucket" / "file").write_bytes(b"")
    os.utime(drive / "bucket" / "file", ns=(2 * 10**18, 10**18))
    (tmp_path / "mount").mkdir()
    script = f'mount -t tmpfs -o {option} none "$1" && cp -a "$2/." "$1" && "$3" -c "$4" "$1"'
    arguments = [str(tmp_path / "mount"), str(drive), sys.executable, ASKED]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *arguments], capture_output=True, text=True
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.stdout.startswith(told), done.stderr


def test_a_random_order_can_be_repeated(bench: Bench) -> None:
    drive = Drive.open(bench.drive)
    first = bucket_order.choose(drive, Priority.RANDOM, {}, 7)
    assert bucket_order.choose(drive, Priority.RANDOM, {}, 7) == first
    assert sorted(first.buckets) == drive.buckets()
    assert bucket_order.choose(replace(drive), Priority.RANDOM, {}, 8).buckets != first.buckets


def test_a_cursor_in_a_bucket_that_is_gone_lies_in_no_stretch() -> None:
    order: list[list[str]] = [[], ["a"], ["b"]]
    assert stretch_of(Cursor((b"b", b"x")), order) == 2
    assert stretch_of(Cursor((b".minio.sys", b"config")), order) == 0
    assert stretch_of(Cursor((b"gone",)), order) is None
    assert stretch_of(None, order) == 0
