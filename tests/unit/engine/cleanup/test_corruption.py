"""Every class of damage to a row and to an `xl.meta`: found, named, and no reason to crash."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.pace import Pace
from dualtrack.engine.quarantine import all_quarantined
from dualtrack.engine.rows import Row, RowState, is_system
from dualtrack.engine.snapshot import put_of, snapshot
from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.protocol import Batch
from dualtrack.engine.stores.transaction import INDEX, META, ROWS
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import DifferenceError, DualTrackError, FormatError, StoreCorruptError

SEED = 20261126
Copy = Callable[[Path], Any]


@pytest.fixture
def bench(copies: Copy, migrated_tiny: Path) -> Any:
    return copies(migrated_tiny)


def objects(task: Task) -> list[Row]:
    return [row for row in task.owner.scan(None, 1000) if not is_system(row.bucket) and row.present]


@contextmanager
def planted(task: Task, table: str, full: bytes, value: bytes) -> Iterator[None]:
    """`value` in the place of what lies there, and afterwards what lay there."""
    with task.owner.store._write() as txn:
        before = bytes(txn.get(table, full))
        txn.put(table, full, value)
    try:
        yield
    finally:
        with task.owner.store._write() as txn:
            txn.put(table, full, before)


def stored(task: Task, table: str, full: bytes) -> bytes:
    with task.owner.store._write() as txn:
        return bytes(txn.get(table, full))


def flipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each byte of the envelope, and a sample of the payload, with one bit of it turned."""
    rng = random.Random(SEED)
    payload = sorted(rng.sample(range(envelope.OVERHEAD, len(data)), 60))
    for place in [*range(envelope.OVERHEAD), *payload]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        yield f"byte {place}", bytes(damaged)


def cut(data: bytes) -> Iterator[tuple[str, bytes]]:
    for length in (0, 1, 2, envelope.OVERHEAD - 1, envelope.OVERHEAD, len(data) // 2, len(data) - 1):
        yield f"cut to {length}", data[:length]
    yield "longer", data + b"\0"


def test_each_damaged_byte_of_a_row_is_found_and_named(bench: Any) -> None:
    with bench.task() as task:
        row = objects(task)[3]
        full = full_key(row.bucket, row.key)
        value = stored(task, ROWS, full)
        for what, damaged in (*flipped(value), *cut(value)):
            with planted(task, ROWS, full, damaged):
                # A schema byte that looks like a newer build's is refused as that.
                with pytest.raises(DualTrackError) as found:
                    task.owner.get_many([(row.bucket, row.key)])
                assert f"{row.bucket}/{row.key}" in str(found.value), what
                with pytest.raises(DualTrackError):
                    task.owner.digest()
        assert task.owner.get_many([(row.bucket, row.key)]) == [row]


def other_drive(task: Task, row: Row) -> bytes:
    full = full_key(row.bucket, row.key)
    return envelope.pack(b"another drive", full, row, 1, 0)


def other_key(task: Task, row: Row) -> bytes:
    last = objects(task)[-1]
    return stored(task, ROWS, full_key(last.bucket, last.key))


def zeros(task: Task, row: Row) -> bytes:
    return bytes(len(stored(task, ROWS, full_key(row.bucket, row.key))))


@pytest.mark.parametrize("made", [other_drive, other_key, zeros])
def test_a_row_of_another_drive_or_key_is_found_by_every_verb(
    bench: Any, made: Callable[[Task, Row], bytes]
) -> None:
    with bench.task() as task:
        row = objects(task)[2]
        full, value = full_key(row.bucket, row.key), made(task, row)
        with task.owner.store._write() as txn:
            txn.put(ROWS, full, value)
    for verb in (lambda task: Verification(task).run(), hold):
        with pytest.raises((StoreCorruptError, DifferenceError), match=f"{row.bucket}/{row.key}"):
            bench.run(verb)
    assert bench.held() == 0


def test_a_stale_copy_of_a_row_is_found_by_a_verification(bench: Any) -> None:
    """A whole and valid row of yesterday proves itself; only the comparison with the file tells."""
    with bench.task() as task:
        old, other = objects(task)[:2]
        full = full_key(old.bucket, old.key)
        yesterday = stored(task, ROWS, full), stored(task, INDEX, full)
    path = bench.drive / old.path
    path.write_bytes(other.data)
    bench.migrate()
    with bench.task() as task, task.owner.store._write() as txn:
        txn.put(ROWS, full, yesterday[0])
        txn.put(INDEX, full, yesterday[1])
    for verb in (lambda task: Verification(task).run(), hold):
        with pytest.raises(DifferenceError, match=f"{old.bucket}/{old.key}"):
            bench.run(verb)


@pytest.mark.parametrize("of", ["another key", "yesterday"])
def test_an_index_entry_that_was_swapped_is_found_and_named(bench: Any, tmp_path: Path, of: str) -> None:
    """Whole and valid where it came from; under another key, or beside a newer row, it proves nothing."""
    with bench.task() as task:
        row, other = objects(task)[:2]
        full = full_key(row.bucket, row.key)
        entry = stored(task, INDEX, full_key(other.bucket, other.key) if of == "another key" else full)
    (bench.drive / row.path).write_bytes(other.data)
    bench.migrate()
    named = f"{row.bucket}/{row.key}"
    with bench.task() as task:
        assert stored(task, INDEX, full) != entry
        with task.owner.store._write() as txn:
            txn.put(INDEX, full, entry)
        with pytest.raises(StoreCorruptError, match=named):
            task.owner.digest()
        if of == "another key":
            with pytest.raises(StoreCorruptError, match=named):
                task.owner.scan_index(row.bucket, row.key, None, 1)
    with pytest.raises((StoreCorruptError, DifferenceError), match=named):
        bench.run(lambda task: Verification(task).run())
    # Files may still be held, for the row is right; but none is purged without a snapshot.
    with pytest.raises(StoreCorruptError, match=named):
        bench.run(lambda task: snapshot(task, str(tmp_path / "copy")))


def test_a_store_whose_count_of_entries_is_gone_says_so(bench: Any) -> None:
    with bench.task() as task:
        with task.owner.store._write() as txn:
            txn.delete(META, b"entries")
        with pytest.raises(StoreCorruptError, match="its count of entries is gone"):
            task.owner.digest()


def test_a_damaged_index_entry_and_meta_value_are_found(bench: Any) -> None:
    with bench.task() as task:
        row = objects(task)[1]
        full = full_key(row.bucket, row.key)
        entry = stored(task, INDEX, full)
        for place in range(len(entry)):
            damaged = bytearray(entry)
            damaged[place] ^= 0x10
            with planted(task, INDEX, full, bytes(damaged)), pytest.raises(StoreCorruptError):
                task.owner.scan_index(row.bucket, row.key, None, 1)
        record = stored(task, META, b"verified")
        for place in range(len(record)):
            damaged = bytearray(record)
            damaged[place] ^= 0x10
            with planted(task, META, b"verified", bytes(damaged)), pytest.raises(StoreCorruptError):
                task.owner.meta("verified")


def damages(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Of an `xl.meta`: each byte of its frame, some of its body, its end, and its length."""
    rng = random.Random(SEED)
    for place in [*range(24), *sorted(rng.sample(range(24, len(data)), 40)), len(data) - 1]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        yield f"byte {place}", bytes(damaged)
    for length in (0, 4, 8, 12, len(data) // 2, len(data) - 1):
        yield f"cut to {length}", data[:length]


def test_each_damage_to_a_file_is_named_by_a_verification(bench: Any) -> None:
    with bench.task() as task:
        row = objects(task)[0]
        path = bench.drive / row.path
        for what, damaged in damages(row.data):
            path.write_bytes(damaged)
            with pytest.raises(DifferenceError, match=f"{row.bucket}/{row.key}"):
                Verification(Task(task.drive, task.store_dir, task.owner, task.fence, task.run_id)).run()
            assert path.read_bytes() == damaged, what


def test_no_row_is_made_of_a_file_that_cannot_be_decoded(bench: Any) -> None:
    """The sweep quarantines it by name; the row of before is not served for it any more."""
    with bench.task() as task:
        row = objects(task)[0]
        path = bench.drive / row.path
        decodable = 0
        for what, damaged in damages(row.data):
            path.write_bytes(damaged)
            Sweep(task, Pace(None, None, lambda: 0.0)).run()
            (now,) = task.owner.get_many([(row.bucket, row.key)])
            assert now is not None
            names = {each.name for each in all_quarantined(task.owner)}
            if _decodes(damaged):
                decodable += 1  # user metadata has no check of its own where its CRC is not in the form
                continue
            assert now.state is RowState.FS_RESIDENT, what
            assert f"{row.bucket}/{row.key}" in names, what
        assert decodable < 25


def _decodes(data: bytes) -> bool:
    try:
        xlmeta.decode(data)
    except FormatError:
        return False
    return True


def test_two_files_that_changed_places_are_both_named(bench: Any) -> None:
    first, second = (bench.drive / name / "xl.meta" for name in bench.metas()[:2])
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    with bench.task() as task:
        with pytest.raises(DifferenceError):
            Verification(task).run()
        named = " ".join(task.names)
    for name in bench.metas()[:2]:
        assert name in named
    with pytest.raises(DifferenceError, match="2 objects"):
        bench.run(hold)


def test_a_store_with_another_uuid_than_the_markers_is_refused(bench: Any, tmp_path: Path) -> None:
    bench.run(hold)
    shutil.rmtree(bench.store)
    with pytest.raises(DualTrackError, match="names store"), bench.task():
        pass
    assert bench.held() == 9


def test_a_newer_generation_never_goes_back(bench: Any) -> None:
    """What a stale sweeper would commit: an older generation of a valid row."""
    with bench.task() as task:
        row = objects(task)[0]
        old = replace(row, generation=replace(row.generation, counter=0), data=objects(task)[1].data)
        task.owner.commit(Batch(puts=(put_of(old),)))
        assert task.owner.get_many([(row.bucket, row.key)]) == [row]
