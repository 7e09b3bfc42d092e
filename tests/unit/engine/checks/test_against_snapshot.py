"""The store against its snapshot: later work is counted, damage on either side is named."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.against_snapshot import verify_against_snapshot
from dualtrack.engine.drive import Drive
from dualtrack.engine.snapshot import snapshot
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.errors import DifferenceError, RefusedError
from planting import PLANTS, put
from sweepbench import Bench

Place = tuple[str, str]


def test_what_was_written_since_is_counted_and_what_was_damaged_is_named(
    bench: Bench, some: Place, tmp_path: Path
) -> None:
    bench.migrate()
    away = str(tmp_path / "away")
    with bench.owner() as owner:
        snapshot(bench.task(owner), away)
        task = bench.task(owner)
        verify_against_snapshot(task, away)
        assert task.counts["newer"] == 0
        row = owner.get(*some)
        assert row is not None
        put(owner, replace(row, key=some[1] + ".later"), owner.scan_index(*some, None, 1)[0][1])
        PLANTS["flipped byte"][0](bench.drive, owner, some)
        task = bench.task(owner)
        verify_against_snapshot(task, away)
        assert task.counts["newer"] == 2
    damage_copy(bench, away, some)
    with bench.owner() as owner:
        task = bench.task(owner)
        with pytest.raises(DifferenceError, match="rows are not the same"):
            verify_against_snapshot(task, away)
        assert task.counts["differences"] == 1


def damage_copy(bench: Bench, away: str, other_than: Place) -> None:
    """A row of the copy under its old generation and with other bytes: what a bug in copying would leave."""
    with closing(LmdbStore.open(away, Drive.open(bench.drive).drive_id)) as copy:
        copy.open_term()
        row = next(
            each
            for each in copy.scan(None, 500)
            if each.present and not each.bucket.startswith(".") and (each.bucket, each.key) != other_than
        )
        entry = copy.scan_index(row.bucket, row.key, None, 1)[0][1]
        made = replace(row, data=row.data + b"!", generation=replace(row.generation, counter=10**9))
        copy.commit(Batch(puts=(Put(made, entry, "any"),)))


def test_another_snapshot_than_the_last_proves_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.migrate()
    where = ["--drive", str(bench.drive), "--store", str(bench.store)]
    with bench.owner() as owner:
        with pytest.raises(RefusedError, match="none was ever taken"):
            verify_against_snapshot(bench.task(owner), str(tmp_path / "away"))
        snapshot(bench.task(owner), str(tmp_path / "away"))
    assert main(["engine", "verify", *where, "--against-snapshot", str(tmp_path / "elsewhere")]) == 40
    assert main(["engine", "verify", *where, "--against-snapshot", str(tmp_path / "away")]) == 0
