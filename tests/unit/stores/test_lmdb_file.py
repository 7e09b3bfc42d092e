"""What an LMDB store does about its file: truncated, foreign, newer, full, forked, or on a wrong file
system.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import envelope, place
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.stores.transaction import INDEX, META, ROWS
from dualtrack.errors import (
    FencedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreVersionError,
)

MAP = 16 * 1024 * 1024


def puts(count: int, size: int = 400) -> tuple[Put, ...]:
    return tuple(
        Put(
            Row(
                "b",
                f"k{i:06d}",
                Generation(1, 1),
                RowState.PRESENT,
                RowOrigin.FS,
                NO_FILE,
                0,
                0,
                0,
                0,
                b"x" * size,
            ),
            b"summary",
        )
        for i in range(count)
    )


def filled(directory: Path, count: int = 2000) -> None:
    store = LmdbStore.open(str(directory), "drive-1", map_size=MAP)
    store.open_term()
    store.commit(Batch(puts=puts(count)))
    store.close()


def test_a_truncated_file_is_an_error_and_not_a_signal(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / place.DATA_FILE
    for size in (path.stat().st_size // 2, 20_000, 8_192, 5_000, 100):
        os.truncate(path, size)
        with pytest.raises(StoreCorruptError, match=r"data\.mdb"):
            LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)


@pytest.mark.parametrize("size", [0, 5_000, 20_000])
def test_a_file_that_is_cut_off_under_an_open_store_is_an_error_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(place, "LOOK_SECONDS", 0)
    filled(tmp_path)
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    store.open_term()
    path = tmp_path / place.DATA_FILE
    whole = path.stat().st_size
    assert len(store.scan(None, 10)) == 10
    os.truncate(path, size)
    for attempt in (
        lambda: store.scan(None, 10),
        lambda: store.commit(Batch(puts=puts(1))),
        store.stats,
        store.digest,
    ):
        with pytest.raises(StoreCorruptError, match="cut off while it was open"):
            attempt()
    os.truncate(path, 2 * whole)
    with pytest.raises(StoreCorruptError, match="cut off"):
        store.scan(None, 10)
    store.close()


def test_a_reader_looks_at_the_size_now_and_then_and_a_writer_always(tmp_path: Path) -> None:
    (tmp_path / place.DATA_FILE).write_bytes(b"1234")
    now = 10.0
    guard = place.SizeGuard(str(tmp_path), lambda: now)
    guard.glance()
    os.truncate(tmp_path / place.DATA_FILE, 1)
    now += place.LOOK_SECONDS / 2
    guard.glance()
    now += place.LOOK_SECONDS
    with pytest.raises(StoreCorruptError, match="4 bytes, now 1"):
        guard.glance()
    with pytest.raises(StoreCorruptError):
        guard.check()
    guard.close()


def test_a_size_that_was_read_before_the_file_grew_is_no_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by `property/test_cache_is_never_stale.py`: two look, the later size is compared first."""
    file = tmp_path / place.DATA_FILE
    file.write_bytes(b"1234")
    guard = place.SizeGuard(str(tmp_path))
    second = threading.Thread(target=guard.check)
    real = os.fstat

    def slow(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        if not second.ident:
            file.write_bytes(b"12345678")
            second.start()
            second.join(0.2)  # ends only where nothing makes it wait for this look
        return found

    monkeypatch.setattr(place.os, "fstat", slow)
    guard.check()
    second.join()
    guard.check()
    guard.close()


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / place.DATA_FILE).write_bytes(b"not a store " * 4096)
    with pytest.raises(StoreCorruptError, match="does not begin"):
        LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / place.DATA_FILE).touch()
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    assert store.scan(None, 10) == []
    store.close()


def test_the_store_of_another_drive_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(StoreVersionError, match="drive-1"):
        LmdbStore.open(str(tmp_path), "drive-2", map_size=MAP)
    store = LmdbStore.open(str(tmp_path), map_size=MAP)
    assert store.drive_id == "drive-1"
    assert len(store.scan(None, 10)) == 10
    store.close()


def test_a_store_of_a_newer_build_is_refused(tmp_path: Path) -> None:
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    store.open_term()
    store.commit(Batch(meta={"schema": b"3"}))
    store.close()
    with pytest.raises(StoreVersionError, match="newer"):
        LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)


def test_a_full_map_writes_nothing_of_the_batch_and_the_store_goes_on(tmp_path: Path) -> None:
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=1024 * 1024)
    store.open_term()
    with pytest.raises(StoreFullError):
        store.commit(Batch(puts=puts(10_000), cursor=("sweep", b"far")))
    assert store.scan(None, 10) == []
    assert store.meta("cursor/sweep") is None
    store.commit(Batch(puts=puts(10)))
    assert len(store.scan(None, 100)) == 10
    store.close()


def test_an_opener_of_an_earlier_term_is_fenced(tmp_path: Path) -> None:
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    first = store.open_term()
    store.commit(Batch(puts=puts(1)))
    store.commit(Batch(meta={"term": str(first + 1).encode()}))
    for refused in (Batch(puts=puts(2)), Batch(meta={"x": b"y"})):
        with pytest.raises(FencedError, match="taken over"):
            store.commit(refused)
    with pytest.raises(FencedError):
        store.begin("zombie", 9)
    assert len(store.scan(None, 10)) == 1
    store.close()


def test_a_refused_batch_of_a_group_leaves_no_trace_and_stops_no_other(tmp_path: Path) -> None:
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    store.open_term()
    results = store.commit_many(
        [Batch(puts=puts(1)), Batch(fence=4, meta={"x": b"y"}), Batch(meta={"z": b"z"})]
    )
    assert [isinstance(each, FencedError) for each in results] == [False, True, False]
    assert (len(store.scan(None, 9)), store.meta("x"), store.meta("z")) == (1, None, b"z")
    store.close()


def _use(store: LmdbStore, answers: multiprocessing.SimpleQueue[str]) -> None:
    try:
        store.scan(None, 1)
    except StoreError as error:
        answers.put(str(error))
    else:
        answers.put("read")


def test_a_forked_process_may_not_use_the_store(tmp_path: Path) -> None:
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_use, args=(store, answers))
    child.start()
    child.join()
    assert "another process" in answers.get()
    store.close()


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    filled(tmp_path, 50)
    path = tmp_path / place.DATA_FILE
    path.write_bytes(path.read_bytes().replace(b"x" * 400, b"x" * 200 + b"y" + b"x" * 199))
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    with pytest.raises(StoreCorruptError, match="b/k000000 does not match"):
        store.digest()
    store.close()


def test_an_index_entry_without_its_row_is_found(tmp_path: Path) -> None:
    filled(tmp_path, 50)
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    full = b"b\0k000017"
    with store._write() as txn:
        txn.delete(ROWS, full)
    with pytest.raises(StoreCorruptError, match="k000017"):
        store.digest()
    with store._write() as txn:
        txn.delete(INDEX, full)
    with pytest.raises(
        StoreCorruptError, match="50 rows and 50 index entries by its own count, but 49 and 49"
    ):
        store.digest()
    store.close()


def test_a_damaged_meta_value_is_named(tmp_path: Path) -> None:
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    packed = bytearray(envelope.pack_meta(b"verified", b"{}"))
    packed[-1] ^= 1
    with store._write() as txn:
        txn.put(META, b"verified", bytes(packed))
    with pytest.raises(StoreCorruptError, match="verified"):
        store.meta("verified")
    store.close()


def test_a_file_system_that_is_not_local_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "file_system", lambda _: 0x6969)
    with pytest.raises(StoreError, match="0x6969"):
        LmdbStore.open(str(tmp_path / "store"), "drive-1", map_size=MAP)
    assert not (tmp_path / "store" / place.DATA_FILE).exists()


def test_the_file_system_of_a_real_directory_is_known(tmp_path: Path) -> None:
    assert place.file_system("/proc") == 0x9FA0
    place.refuse_unsound(str(tmp_path))
    assert place.default_map_size(str(tmp_path)) >= 2**30


def test_closing_waits_for_readers_and_ends_later_ones(tmp_path: Path) -> None:
    filled(tmp_path, 500)
    store = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP)
    reads: list[int] = []
    ended: list[StoreError] = []
    begun = threading.Barrier(5)

    def read() -> None:
        begun.wait()
        try:
            while True:
                reads.append(len(store.scan(None, 500)))
        except StoreError as error:
            ended.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    begun.wait()
    store.close()
    for reader in readers:
        reader.join()
    assert len(ended) == 4
    assert set(reads) <= {500}
