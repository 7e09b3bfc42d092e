"""The sweep on a real drive: complete, repeatable, resumable; nothing corrupt, stale or gone becomes a
row.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.engine import batches, marker, migrate
from dualtrack.engine.departed import Accepted, allowed
from dualtrack.engine.drive import Drive
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.native import library
from dualtrack.engine.quarantine import all_quarantined
from dualtrack.engine.rows import Row, RowState
from dualtrack.engine.stores.protocol import Batch
from dualtrack.engine.walk import walk
from dualtrack.errors import FencedError, IncompleteError, MarkerError, OwnerError
from sweepbench import Bench, unreadable


def files_of(bench: Bench) -> dict[tuple[str, str], bytes]:
    ranges = walk(Drive.open(bench.drive), system=True)
    return {(found.bucket, found.key): found.data for part in ranges for found in part.objects}


def rows_of(bench: Bench) -> dict[tuple[str, str], Row]:
    rows: list[Row] = []
    with bench.owner() as owner:
        while page := owner.scan((rows[-1].bucket, rows[-1].key) if rows else None, 1000):
            rows += page
    return {(row.bucket, row.key): row for row in rows}


def present(bench: Bench) -> dict[tuple[str, str], bytes]:
    return {place: row.data for place, row in rows_of(bench).items() if row.present}


def test_every_file_becomes_a_row_with_its_exact_bytes(bench: Bench) -> None:
    task = bench.migrate()
    files = files_of(bench)
    assert len(files) > 2_000
    assert present(bench) == files
    assert task.counts["applied"] == task.counts["scanned"] == len(files)
    with bench.owner() as owner:
        assert owner.meta("swept_epoch") == b"0"
        assert sum(owner.stats().objects.values()) == len(files)


def test_the_system_volume_is_kept_and_not_listed(bench: Bench) -> None:
    bench.migrate()
    rows = rows_of(bench)
    assert any(bucket == ".minio.sys" for bucket, _ in rows)
    with bench.owner() as owner:
        assert owner.scan_index(".minio.sys", "", None, 10) == []


def test_a_second_sweep_writes_nothing(bench: Bench) -> None:
    bench.migrate()
    before = rows_of(bench)
    task = bench.migrate()
    assert task.counts["applied"] == 0
    assert task.counts["same"] == len(before)
    assert rows_of(bench) == before


def test_only_what_changed_is_written_again(bench: Bench, some: tuple[str, str]) -> None:
    bench.migrate()
    path = bench.file(*some)
    copy = path.with_name("copy")
    shutil.copyfile(path, copy)
    os.replace(copy, path)
    assert bench.migrate().counts["applied"] == 1
    assert present(bench) == files_of(bench)


def test_a_deleted_object_becomes_a_tombstone(bench: Bench, some: tuple[str, str]) -> None:
    bench.migrate()
    shutil.rmtree(bench.file(*some).parent)
    task = bench.migrate()
    assert task.counts["tombstones"] == 1
    assert rows_of(bench)[some].state is RowState.TOMBSTONE
    assert present(bench) == files_of(bench)


def test_a_bucket_that_lost_too_much_stops_the_deletions(bench: Bench) -> None:
    bench.migrate()
    with bench.owner() as owner:
        objects = {b: n for b, n in owner.stats().objects.items() if not b.startswith(".")}
    bucket = max(objects, key=lambda name: objects[name])
    assert objects[bucket] > allowed(objects[bucket])
    shutil.rmtree(bench.drive / bucket)
    (bench.drive / bucket).mkdir()
    with pytest.raises(IncompleteError, match=bucket):
        bench.migrate()
    assert not [row for row in rows_of(bench).values() if row.state is RowState.TOMBSTONE]
    bench.migrate(accepted=Accepted(everything=True))
    assert present(bench) == files_of(bench)


@pytest.mark.parametrize(
    ("rows", "limit"),
    [
        (1, 0),
        (10, 5),
        (199, 99),
        (200, 100),
        (9_999, 100),
        (20_000, 200),
        (1_000_000, 10_000),
        (9**9, 10_000),
    ],
)
def test_how_much_a_bucket_may_lose(rows: int, limit: int) -> None:
    assert allowed(rows) == limit


def test_a_corrupt_file_is_quarantined_by_name_until_it_is_mended(
    bench: Bench, some: tuple[str, str]
) -> None:
    path = bench.file(*some)
    sound = path.read_bytes()
    path.write_bytes(sound[:20] + bytes((sound[20] ^ 1,)) + sound[21:])
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert bench.migrate(now=lambda: now).counts["quarantined"] == 1
    later = datetime(2026, 11, 24, 12, tzinfo=UTC)
    task = bench.migrate(now=lambda: later)
    assert task.names == [f"{some[0]}/{some[1]}: crc"]
    assert rows_of(bench)[some].state is RowState.FS_RESIDENT
    with bench.owner() as owner:
        (record,) = all_quarantined(owner)
        listed = [key for key, _ in owner.scan_index(some[0], some[1], None, 1)]
    assert (record.bucket, record.key, record.reason, record.attempts) == (*some, "crc", 2)
    assert (record.first_seen, record.last_seen) == ("2026-11-23T12:00:00Z", "2026-11-24T12:00:00Z")
    assert some[1] not in listed
    path.write_bytes(sound)
    assert bench.migrate().counts["quarantined"] == 0
    with bench.owner() as owner:
        assert list(all_quarantined(owner)) == []
    assert present(bench) == files_of(bench)


def test_a_quarantined_object_that_is_deleted_leaves_the_quarantine(
    bench: Bench, some: tuple[str, str]
) -> None:
    bench.file(*some).write_bytes(b"XL2 nothing")
    bench.migrate()
    shutil.rmtree(bench.file(*some).parent)
    assert bench.migrate().counts["quarantined"] == 0
    assert rows_of(bench)[some].state is RowState.TOMBSTONE


def test_a_file_under_another_forms_name_is_quarantined_and_stays(
    bench: Bench, some: tuple[str, str]
) -> None:
    path = bench.file(*some)
    path.rename(path.with_name("xl.json"))
    for _ in range(2):
        task = bench.migrate()
        assert task.names == [f"{some[0]}/{some[1]}: xl-json"]
        assert rows_of(bench)[some].state is RowState.FS_RESIDENT
    shutil.rmtree(path.parent)
    bench.migrate()
    assert rows_of(bench)[some].state is RowState.TOMBSTONE


@pytest.mark.parametrize("native", [True, False])
def test_a_directory_that_cannot_be_read_makes_the_sweep_incomplete(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, some: tuple[str, str], native: bool
) -> None:
    bench.migrate()
    bucket = some[0]
    if native and library.library() is None:
        pytest.skip("built without a C compiler")

    shutil.rmtree(bench.file(*some).parent)
    unreadable(monkeypatch, bench.drive / bucket)
    if not native:
        monkeypatch.setattr(library, "library", lambda: None)
    with pytest.raises(IncompleteError, match="nothing was deleted"):
        bench.migrate()
    monkeypatch.undo()
    assert rows_of(bench)[some].state is RowState.PRESENT
    bench.migrate()
    assert rows_of(bench)[some].state is RowState.TOMBSTONE


def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 50)


@pytest.mark.parametrize("after", [1, 5, 11, 23])
def test_an_interrupted_sweep_goes_on_where_it_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    small_batches(monkeypatch)
    looks = iter(range(10**6))
    with pytest.raises(IncompleteError, match="interrupted"):
        bench.migrate(stop=lambda: next(looks) >= after)
    assert "swept_epoch" not in metas(bench)
    done = len(rows_of(bench))
    assert done >= 50 * after
    task = bench.migrate()
    assert task.counts["applied"] == len(files_of(bench)) - done
    assert task.counts["same"] == 0
    assert task.counts["scanned"] == len(files_of(bench))
    assert present(bench) == files_of(bench)


def metas(bench: Bench) -> set[str]:
    with bench.owner() as owner:
        return {name for name, _ in owner.meta_scan("", None, 1000)}


def test_a_change_behind_the_cursor_is_found_by_the_next_pass(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor is past the first directories; what a stock server changes there waits for the next pass."""
    small_batches(monkeypatch)
    looks = iter(range(10**6))
    with pytest.raises(IncompleteError):
        bench.migrate(stop=lambda: next(looks) >= 20)
    behind = next(place for place in rows_of(bench) if not place[0].startswith("."))
    bench.file(*behind).unlink()
    bench.migrate()
    bench.migrate()
    assert present(bench) == files_of(bench)


def test_a_new_epoch_begins_a_new_pass(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    looks = iter(range(10**6))
    with pytest.raises(IncompleteError):
        bench.migrate(stop=lambda: next(looks) >= 10)
    with bench.owner() as owner:
        owner.commit(Batch(meta={"epoch": b"4"}))
    task = bench.migrate()
    assert task.counts["scanned"] == len(files_of(bench)) == task.counts["same"] + task.counts["applied"]


def test_untrusted_rows_are_rewritten_even_where_nothing_changed(bench: Bench) -> None:
    bench.migrate()
    with bench.owner() as owner:
        floor = owner.next_generation()
        owner.commit(Batch(meta={"trust_floor": floor.pack(), "swept_epoch": None}))
    task = bench.migrate()
    assert task.counts["applied"] == len(files_of(bench))
    assert all(row.generation >= floor for row in rows_of(bench).values())


def test_a_dirty_key_is_left_to_the_drain_and_read_by_it(bench: Bench, some: tuple[str, str]) -> None:
    """Its server is gone here, so the sweep drains for it."""
    with bench.owner() as owner:
        owner.mark(*some)
    bench.migrate()
    with bench.owner() as owner:
        assert owner.info().journal_depth == 0
    assert present(bench) == files_of(bench)


def test_a_newer_run_ends_an_older_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    with bench.owner() as owner:
        first = bench.task(owner)

        def overtake() -> bool:
            if len(rows_within(owner)) > 100:
                owner.begin("second", first.fence + 1)
            return False

        first.stop = overtake
        sweep = migrate.Sweep(first, migrate.Pace(None, None, lambda: 0.0))
        with pytest.raises(FencedError, match="second"):
            sweep.run()
        assert len(rows_within(owner)) < len(files_of(bench))


def rows_within(owner: object) -> list[Row]:
    return owner.scan(None, 500)  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("state", [MarkerState.KV_ONLY, MarkerState.PURGED])
def test_no_sweep_where_rows_are_newer_than_files(bench: Bench, state: MarkerState) -> None:
    marker.write(str(bench.drive), Marker(state, "", 0, "m", "2026-11-23T12:00:00Z"))
    with pytest.raises(MarkerError, match=state):
        bench.migrate()
    assert rows_of(bench) == {}


def test_a_run_that_was_ordered_for_another_epoch_is_refused(bench: Bench) -> None:
    with pytest.raises(OwnerError, match="epoch 7"):
        bench.migrate(epoch=7)


def test_a_dry_run_writes_no_row(bench: Bench) -> None:
    task = bench.migrate(dry_run=True)
    assert task.counts["scanned"] == len(files_of(bench))
    assert rows_of(bench) == {}
    assert "cursor/sweep" not in metas(bench)


def test_the_cursor_in_the_store_is_that_of_the_rows_in_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_batches(monkeypatch)
    looks = iter(range(10**6))
    with pytest.raises(IncompleteError):
        bench.migrate(stop=lambda: next(looks) >= 7)
    with bench.owner() as owner:
        state = json.loads(owner.cursor("sweep") or b"{}")
    assert state["scanned"] == len(rows_of(bench))
    assert not state["done"]


def test_the_store_may_lie_on_the_drive(bench: Bench) -> None:
    inside = Bench(bench.drive, Path(bench.drive, ".dualtrack/store"))
    inside.migrate()
    assert present(inside) == files_of(inside)
    inside.verify()
