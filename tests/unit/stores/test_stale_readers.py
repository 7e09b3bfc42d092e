"""A reader that is killed while it reads, or that never ends, beside a store that is written all the time."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import place, readers
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch, Put

MAP = 256 * 1024 * 1024
ROWS = 500
ROUND_BYTES = ROWS * 600
"""About what an update of all rows replaces."""
UPDATES = 60
UPDATES_A_CHECK = 10
_READER = """
import sys, lmdb
env = lmdb.open(sys.argv[1], readonly=True, max_dbs=8, max_readers=510)
reading = [env.begin()]
try:
    while sys.argv[2] == "all":
        reading.append(env.begin())
except lmdb.ReadersFullError:
    pass
print("reading", flush=True)
sys.stdin.read()
"""


class Clock:
    """Stands still, except that each update takes a tenth of the time between two checks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LmdbStore]:
    opened = LmdbStore.open(str(tmp_path), "drive-1", map_size=MAP, clock=clock)
    opened.open_term()
    write(opened, clock, 4)
    clock.now = 0.0
    yield opened
    opened.close()


def write(store: LmdbStore, clock: Clock, times: int, rows: int = ROWS) -> None:
    """Every row anew, each time in one transaction."""
    for _ in range(times):
        known = store.get("b", "k000000")
        generation = Generation(1, known.generation.counter + 1 if known else 1)
        store.commit(Batch(puts=tuple(put(number, generation) for number in range(rows))))
        clock.now += readers.CHECK_SECONDS / UPDATES_A_CHECK


def put(number: int, generation: Generation) -> Put:
    data = generation.pack() * 30
    row = Row("b", f"k{number:06d}", generation, RowState.PRESENT, RowOrigin.FS, NO_FILE, 0, 0, 0, 0, data)
    return Put(row, b"summary", "any")


@contextmanager
def reader(directory: Path, transactions: str = "one") -> Iterator[subprocess.Popen[str]]:
    """Another process inside read transactions. It is gone at the end, however it ended."""
    program = [sys.executable, "-c", _READER, str(directory), transactions]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "reading\n"
            yield process
        finally:
            process.kill()


def killed_reader(directory: Path, transactions: str = "one") -> None:
    with reader(directory, transactions) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()


def size(directory: Path) -> int:
    return (directory / place.DATA_FILE).stat().st_size


def test_a_reader_killed_inside_a_transaction_does_not_make_the_store_grow(
    store: LmdbStore, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed_reader(tmp_path)
    assert store.readers().behind == 0
    write(store, clock, 1)
    assert store.readers().behind == 1, "the dead reader still holds its pages"
    before = size(tmp_path)
    with caplog.at_level(logging.WARNING):
        write(store, clock, UPDATES)
    assert size(tmp_path) - before <= (UPDATES_A_CHECK + 2) * ROUND_BYTES
    assert store.readers() == readers.Readers(0, 0, 1)
    assert "stale_readers=1" in caplog.text


def test_a_table_full_of_dead_readers_keeps_nobody_from_reading(store: LmdbStore, tmp_path: Path) -> None:
    killed_reader(tmp_path, "all")
    with store._read(), store._read(), store._read():  # entries that the store has kept do not suffice
        found = store.get("b", "k000000")
    assert found is not None
    assert found.generation.counter == 4
    assert store.readers().cleared > 500


def test_a_living_reader_that_falls_far_behind_is_measured_and_named(
    store: LmdbStore,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(readers, "FAR_BEHIND", 5)
    with reader(tmp_path) as process, caplog.at_level(logging.WARNING):
        write(store, clock, 2 * UPDATES_A_CHECK, rows=1)
        assert store.readers() == readers.Readers(2 * UPDATES_A_CHECK, process.pid, 0)
        assert f"reader pid={process.pid} behind=" in caplog.text
    write(store, clock, UPDATES_A_CHECK + 1, rows=1)
    assert store.readers().behind == 0


def test_an_entry_that_reads_nothing_is_no_reader() -> None:
    assert readers.parse("(no active readers)\n") == []
    table = "    pid     thread     txnid\n   17 7f00 41\n   17 7f01 -\n   23 7f02 9\n"
    assert readers.parse(table) == [(41, 17), (9, 23)]
