"""Journal, marker and lock of a drive, each damaged in every way: found and named, and nobody guesses."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from dualtrack.engine import marker
from dualtrack.engine.journal import BLOCK_SLOTS, SLOT_SIZE, Journal
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rows import Generation
from dualtrack.errors import FencedError, MarkerError, StoreCorruptError, StoreVersionError

SEED = 20261126
HEADER = 4096
NOW = Generation(3, 9)
MAP = 16 * 1024 * 1024
PLACE = ("bucket", "a/key of the usual length")
RECORD = 21 + len(PLACE[0]) + len(PLACE[1])


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each byte with one bit of it turned."""
    rng = random.Random(SEED)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        yield place, bytes(damaged)


# -- the journal ------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """With one mark in the first slot."""
    opened = Journal.open(str(tmp_path), "drive-1")
    opened.mark(*PLACE, NOW)
    opened.close()
    return tmp_path / "journal"


def state(path: Path) -> tuple[bool, bool]:
    """Whether the mark is there, and whether the epoch is broken."""
    opened = Journal.open(str(path.parent), "drive-1")
    try:
        return PLACE in opened, opened.broken
    finally:
        opened.close()


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_sound_journal_is_not_broken(journal: Path) -> None:
    assert state(journal) == (True, False)


def test_each_damaged_byte_of_a_mark_breaks_the_epoch(journal: Path) -> None:
    with journal.open("rb") as file:
        file.seek(HEADER)
        sound = file.read(RECORD)
    for place, damaged in flips(sound):
        overwrite(journal, HEADER, damaged)
        assert state(journal) == (False, True), place
        overwrite(journal, 8, b"\0")
        overwrite(journal, HEADER, sound)
    assert state(journal) == (True, False)


def test_a_damaged_byte_where_a_slot_is_free_breaks_it_too(journal: Path) -> None:
    overwrite(journal, HEADER + 5 * SLOT_SIZE + 7, b"\x10")
    assert state(journal) == (True, True)


def test_each_damaged_byte_of_the_header_is_found(journal: Path) -> None:
    with journal.open("rb") as file:
        sound = file.read(24)
    for place, damaged in flips(sound):
        if place in range(9, 16):
            continue  # means nothing
        overwrite(journal, 0, damaged)
        if place == 8:
            assert state(journal) == (True, True)
        else:
            with pytest.raises((StoreCorruptError, StoreVersionError), match="journal"):
                state(journal)
        overwrite(journal, 0, sound)


def test_no_single_bit_hides_that_the_epoch_is_broken(journal: Path) -> None:
    opened = Journal.open(str(journal.parent))
    opened.break_epoch()
    opened.close()
    said = journal.read_bytes()[8]
    for bit in range(8):
        overwrite(journal, 8, bytes((said ^ 1 << bit,)))
        assert state(journal) == (True, True)


@pytest.mark.parametrize("size", [HEADER + SLOT_SIZE, HEADER + 100, HEADER + (BLOCK_SLOTS - 1) * SLOT_SIZE])
def test_a_journal_that_was_cut_breaks_the_epoch(journal: Path, size: int) -> None:
    os.truncate(journal, size)
    assert state(journal)[1]


def test_the_journal_of_another_drive_is_refused(journal: Path) -> None:
    with pytest.raises(StoreVersionError, match="not the journal of drive drive-2"):
        Journal.open(str(journal.parent), "drive-2")


def moved(drive: Path, to: MarkerState) -> None:
    marker.write(
        str(drive), Marker().moved(to, store_uuid="", epoch=1, migration_uid="", now=datetime.now(UTC))
    )


def opened(drive: Path, mode: Mode | None) -> Owner:
    return Owner.open(str(drive), str(drive / "store"), OwnerSettings("drive-1", mode, MAP))


FS = Mode(Engine.FS, Decimal(1), True, 1)
KV_ONLY = Mode(Engine.KV_ONLY, Decimal(1), False, 1)


@pytest.mark.parametrize("left", [None, 0, HEADER])
def test_a_journal_that_is_gone_takes_the_trust_in_rows_with_it(tmp_path: Path, left: int | None) -> None:
    """Emptied or removed, it looks like a new one; the store knows that there were servers that marked."""
    moved(tmp_path, MarkerState.DUAL_WRITE)
    opened(tmp_path, FS).close()
    owner = opened(tmp_path, FS)
    floor = owner.trust_floor()
    owner.close()
    path = tmp_path / ".dualtrack/journal"
    path.unlink() if left is None else os.truncate(path, left)
    owner = opened(tmp_path, FS)
    assert owner.trust_floor() > floor
    owner.close()


def test_a_new_journal_of_a_new_drive_takes_none(tmp_path: Path) -> None:
    moved(tmp_path, MarkerState.DUAL_WRITE)
    owner = opened(tmp_path, None)
    assert owner.trust_floor() == Generation(0, 0)
    owner.close()


# -- the marker -------------------------------------------------------------------------------------------


def test_each_damaged_byte_of_a_marker_is_found(tmp_path: Path) -> None:
    moved(tmp_path, MarkerState.KV_ONLY)
    path = tmp_path / ".dualtrack/marker.json"
    sound = path.read_bytes().rstrip()
    for place, damaged in flips(sound):
        path.write_bytes(damaged)
        with pytest.raises(MarkerError, match=r"marker\.json"):
            marker.read(str(tmp_path))
        assert path.read_bytes() == damaged, place
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        with pytest.raises(MarkerError, match=r"marker\.json"):
            marker.read(str(tmp_path))


def test_a_marker_of_an_older_build_without_a_check_is_read(tmp_path: Path) -> None:
    moved(tmp_path, MarkerState.KV_PRIMARY)
    path = tmp_path / ".dualtrack/marker.json"
    text = path.read_text()
    start = text.index('"check"')
    path.write_text(text[:start] + text[text.index('"epoch"') :])
    assert marker.read(str(tmp_path)).state is MarkerState.KV_PRIMARY


def test_no_server_starts_where_the_marker_is_gone_and_rows_answered(tmp_path: Path) -> None:
    """A missing marker says that files are the truth; a verb may still put it back."""
    moved(tmp_path, MarkerState.KV_ONLY)
    opened(tmp_path, KV_ONLY).close()
    (tmp_path / ".dualtrack/marker.json").unlink()
    with pytest.raises(MarkerError, match=r"marker\.json is gone"):
        opened(tmp_path, Mode(Engine.FS, Decimal(0), True, 1))
    opened(tmp_path, None).close()


# -- the lock ---------------------------------------------------------------------------------------------


def test_each_damaged_byte_of_a_lock_lets_nobody_in(tmp_path: Path) -> None:
    DriveLock.acquire(str(tmp_path), 7, "run-7").release()
    path = tmp_path / ".dualtrack/lock"
    sound = path.read_bytes()
    for place, damaged in flips(sound):
        path.write_bytes(damaged)
        with pytest.raises(FencedError):
            known_fence(str(tmp_path))
        with pytest.raises(FencedError):
            DriveLock.acquire(str(tmp_path), 8, "run-8")
        assert path.read_bytes() == damaged, place
    path.write_bytes(sound)
    assert known_fence(str(tmp_path)) == 7


def test_a_holder_notices_that_its_lock_was_damaged_or_swapped(tmp_path: Path) -> None:
    with DriveLock.acquire(str(tmp_path), 7, "run-7") as lock:
        path = tmp_path / ".dualtrack/lock"
        sound = path.read_bytes()
        for damaged in (sound.replace(b"run-7", b"run-6"), sound.replace(b": 7", b": 6"), b"", bytes(512)):
            path.write_bytes(damaged)
            with pytest.raises(FencedError):
                lock.check()
        path.write_bytes(sound)
        lock.check()
