"""What a RocksDB store does about its files: flipped bits, a torn and a damaged log, a second opener."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores.location import ROCKSDB_FOLDER
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.stores.rocksdb import RocksDbStore
from dualtrack.engine.stores.transaction import INDEX, ROWS
from dualtrack.errors import StoreCorruptError, StoreError, StoreLockedError, StoreVersionError

ROWS_IN_ALL = 3_000


def puts(first: int, count: int) -> tuple[Put, ...]:
    def row(number: int) -> Row:
        data = bytes([number % 251]) * 300
        generation = Generation(1, 1)
        return Row(
            "b", f"k{number:06d}", generation, RowState.PRESENT, RowOrigin.FS, NO_FILE, 0, 0, 0, 0, data
        )

    return tuple(Put(row(number), b"summary") for number in range(first, first + count))


def opened(directory: Path) -> RocksDbStore:
    return RocksDbStore.open(str(directory), "drive-1")


def filled(directory: Path) -> None:
    """A third of the rows a batch; closing writes them to a table file."""
    fill(opened(directory)).close()


def fill(store: RocksDbStore) -> RocksDbStore:
    store.open_term()
    third = ROWS_IN_ALL // 3
    for part in range(3):
        store.commit(Batch(puts=puts(part * third, third)))
    return store


def read_all(store: RocksDbStore) -> list[Row]:
    found: list[Row] = []
    while page := store.scan((found[-1].bucket, found[-1].key) if found else None, 500):
        found += page
    return found


def killed(directory: Path) -> None:
    """Fill it in a process that dies before it closes, so that the rows are in the log alone."""
    subprocess.run([sys.executable, __file__, str(directory)], check=True)
    assert not list((directory / ROCKSDB_FOLDER).glob("*.sst"))


def flip(path: Path, where: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1
    path.write_bytes(data)


def newest(directory: Path, pattern: str) -> Path:
    return max((directory / ROCKSDB_FOLDER).glob(pattern), key=lambda path: path.stat().st_size)


def test_a_flipped_bit_ends_a_scan_with_an_error_and_not_early(tmp_path: Path) -> None:
    filled(tmp_path)
    flip(newest(tmp_path, "*.sst"), 0.5)
    store = opened(tmp_path)
    with pytest.raises(StoreCorruptError, match="checksum"):
        read_all(store)
    with pytest.raises(StoreCorruptError):
        store.digest()
    store.close()


def test_rows_that_vanish_with_their_index_are_missed_by_the_count(tmp_path: Path) -> None:
    filled(tmp_path)
    store = opened(tmp_path)
    with store._write() as txn:
        for table in (ROWS, INDEX):
            txn.delete(table, b"b\0k000017")
    with pytest.raises(StoreCorruptError, match=r"holds 3000 rows .* but 2999 and 2999"):
        store.digest()
    store.close()


def test_a_log_that_is_damaged_before_its_end_is_refused(tmp_path: Path) -> None:
    killed(tmp_path)
    flip(newest(tmp_path, "*.log"), 0.3)
    with pytest.raises(StoreCorruptError):
        opened(tmp_path)


def test_a_torn_tail_of_the_log_costs_only_what_it_held(tmp_path: Path) -> None:
    killed(tmp_path)
    log = newest(tmp_path, "*.log")
    log.write_bytes(log.read_bytes()[:-1000])
    store = opened(tmp_path)
    assert store.digest().count == ROWS_IN_ALL * 2 // 3
    store.close()


def test_a_second_opener_is_refused_and_a_closed_store_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(StoreLockedError, match="another process"):
        opened(tmp_path)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.scan(None, 1)
    opened(tmp_path).close()


def test_the_store_of_another_drive_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(StoreVersionError, match="drive-1"):
        RocksDbStore.open(str(tmp_path), "drive-2")
    opened(tmp_path).close()


if __name__ == "__main__":
    left_open = fill(opened(Path(sys.argv[1])))
    os._exit(0)
