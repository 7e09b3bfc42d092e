"""Reading a log back: whole, torn, damaged, with a piece missing. Nothing of it needs a store."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dualtrack.engine import files
from dualtrack.engine.rowlog import appending, records
from dualtrack.engine.rowlog.appending import Place, RowLog
from dualtrack.engine.rowlog.records import START, Header, Position
from dualtrack.engine.rowlog.segments import LogGapError, Reading, segments
from dualtrack.engine.stores.recording import Change
from dualtrack.engine.stores.transaction import INDEX, META, ROWS
from dualtrack.errors import StoreCorruptError, StoreError, StoreVersionError

LOG = "0" * 32
BEGINNING = Position(LOG, 0, START.hex(), 1)


def opened(folder: Path, flush_seconds: int = 0) -> RowLog:
    lock = files.lock_file(str(folder / "lock"))
    assert lock is not None
    header = Header(LOG, "store", "drive", 0, 1, START.hex())
    return RowLog(Place(str(folder), flush_seconds), header, START, lock, clock=lambda: 7)


def changes(number: int) -> list[Change]:
    return [
        (ROWS, b"b\0k%d" % number, bytes(range(number % 256)) * 3),
        (INDEX, b"b\0k%d" % number, None),
        (META, b"", b""),
    ]


def found(folder: Path, at: Position = BEGINNING) -> tuple[list[list[Change]], Reading]:
    reading = Reading(str(folder), at)
    return [list(records.unpack_changes(record.body)) for record in reading], reading


def filled(folder: Path, count: int) -> Path:
    log = opened(folder)
    for number in range(count):
        log.append(changes(number), 1)
    log.close()
    return Path(segments(str(folder))[-1].path)


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    read, reading = found(tmp_path)
    assert read == [changes(number) for number in range(5)]
    assert (reading.seq, reading.cut, reading.time_ns) == (5, None, 7)


def test_only_what_follows_a_position_is_read(tmp_path: Path) -> None:
    log = opened(tmp_path)
    positions = [Position.of(log.append(changes(number), 1)) for number in range(4)]
    log.close()
    for number, at in enumerate(positions):
        assert at is not None
        assert found(tmp_path, at)[0] == [changes(each) for each in range(number + 1, 4)]


def test_a_log_of_several_segments_is_one(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(6):
        log.append(changes(number), 1)
        if number % 2:
            log.rotate()
    log.close()
    assert len(segments(str(tmp_path))) == 3
    assert found(tmp_path)[0] == [changes(number) for number in range(6)]


def test_a_tail_that_is_torn_anywhere_is_left_out_by_name(tmp_path: Path) -> None:
    path = filled(tmp_path, 3)
    whole = path.read_bytes()
    two = len(whole) - len(_last_frame(whole))
    for end in range(two + 1, len(whole)):
        path.write_bytes(whole[:end])
        read, reading = found(tmp_path)
        assert read == [changes(number) for number in range(2)]
        assert reading.cut is not None
        assert (reading.cut.path, reading.cut.offset, reading.cut.size) == (str(path), two, end - two)
        path.write_bytes(whole[:end] + bytes(len(whole) - end))  # the size came through, the content did not
        assert found(tmp_path)[0] == read


def _last_frame(whole: bytes) -> bytes:
    return whole[whole.rindex(records.RECORD) :]


def test_a_flipped_byte_before_the_last_record_is_damage_and_no_torn_tail(tmp_path: Path) -> None:
    path = filled(tmp_path, 3)
    whole = path.read_bytes()
    for at in range(len(whole) - len(_last_frame(whole))):
        flipped = bytearray(whole)
        flipped[at] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises((StoreCorruptError, StoreVersionError)):
            found(tmp_path)


def test_a_bad_record_that_was_never_flushed_ends_the_log(tmp_path: Path) -> None:
    """With an interval between flushes a power cut may keep a later record and lose an earlier one."""
    log = opened(tmp_path, flush_seconds=3600)
    for number in range(3):
        log.append(changes(number), 1)
    path = Path(segments(str(tmp_path))[-1].path)
    whole = bytearray(path.read_bytes())
    log.close()
    second = [at for at in range(len(whole)) if whole[at : at + 4] == records.RECORD][1]
    whole[second + 50] ^= 1
    path.write_bytes(whole)
    read, reading = found(tmp_path)
    assert read == [changes(0)]
    assert reading.cut is not None


def test_a_missing_segment_is_a_gap(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(6):
        log.append(changes(number), 1)
        log.rotate()
    log.close()
    paths = [Path(each.path) for each in segments(str(tmp_path))]
    middle = paths[2].read_bytes()
    paths[2].unlink()
    with pytest.raises(StoreCorruptError, match="gap"):
        found(tmp_path)
    paths[2].write_bytes(middle)
    paths[0].unlink()
    with pytest.raises(LogGapError, match="begins with record 2"):
        found(tmp_path)
    assert found(tmp_path, Position(LOG, 1, segments(str(tmp_path))[0].header.previous, 1))[0]


def test_a_log_that_ends_before_the_store_or_the_snapshot_does_is_a_gap(tmp_path: Path) -> None:
    log = opened(tmp_path)
    last = Position.of([log.append(changes(number), 1) for number in range(3)][-1])
    log.close()
    assert last is not None
    with pytest.raises(LogGapError, match="the store with 4"):
        found(tmp_path, Position(LOG, 4, last.chain, 1))
    with pytest.raises(LogGapError, match="is not the one"):
        found(tmp_path, Position(LOG, 3, "f" * 64, 1))
    with pytest.raises(LogGapError, match="before the snapshot did"):
        found(tmp_path, Position(LOG, 3, last.chain, 1, until=5))
    with pytest.raises(LogGapError, match="has no log"):
        found(tmp_path, Position("1" * 32, 3, last.chain, 1))


def test_what_was_taken_back_counts_for_nothing(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(changes(0), 1)
    log.append(changes(1), 1)
    log.failed(rolled_back=True)
    log.append(changes(2), 1)
    log.close()
    read, reading = found(tmp_path)
    assert read == [changes(0), changes(2)]
    assert (reading.seq, reading.cut) == (2, None)


def test_no_record_follows_those_that_could_not_be_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path, flush_seconds=3600)
    log.append(changes(0), 1)
    monkeypatch.setattr(appending, "SEGMENT_BYTES", 0)  # so the next one begins a segment

    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_data", failing)
        with pytest.raises(StoreError, match="could not be flushed"):
            log.append(changes(1), 1)
    with pytest.raises(StoreError, match="could not be flushed"):
        log.append(changes(2), 1)
    assert log.failure
    log.close()


def test_a_segment_of_a_newer_build_is_refused(tmp_path: Path) -> None:
    header = Header(LOG, "store", "drive", 1, 1, START.hex(), version=3)
    (tmp_path / f"{LOG}-00000001.rows").write_bytes(header.pack(0))
    with pytest.raises(StoreVersionError, match="version 3"):
        segments(str(tmp_path))


def test_segments_that_a_snapshot_has_are_removed_and_no_others(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(6):
        log.append(changes(number), 1)
        if number % 2:
            log.rotate()
    assert log.prune(3) == 1
    at = Position(LOG, 2, segments(str(tmp_path))[0].header.previous, 1)
    assert found(tmp_path, at)[0] == [changes(number) for number in range(2, 6)]
    assert log.prune(6) == 1  # never the one that is written
    log.append(changes(6), 1)
    log.close()
