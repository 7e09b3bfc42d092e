"""A store with a row log: nothing acknowledged is lost with its disk, whatever fails in between, and what
cannot be relied on is said."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import logged
from dualtrack.cli.main import main
from dualtrack.engine import files
from dualtrack.engine.client import OwnerClient
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rowlog import keeper, noting
from dualtrack.engine.rowlog.appending import RowLog
from dualtrack.engine.rowlog.opening import SETTING, Setting
from dualtrack.engine.server import Server
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch
from dualtrack.errors import (
    RefusedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    UsageError,
)
from layers import Figures, opened
from logged import Place, lose, lost_and_restored, numbers, write


class Cut(BaseException):
    """The power goes."""


def check_restored(place: Place) -> None:
    """Snapshot and log give the store that is there now, row by row and value by value."""
    before = place.held()
    lose(place)
    assert place.restore_with_log() == 0
    assert place.held() == before


def test_snapshot_and_log_give_the_store_after_its_loss(place: Place) -> None:
    with place.owner() as owner:
        for number in range(20):
            write(owner, number)
        place.snapshot(owner)
        for number in range(20, 90):
            write(owner, number)
        assert owner.log.status().covers
    with place.owner() as owner:  # a restart is no gap
        write(owner, 90)
        assert owner.log.status().covers
    check_restored(place)
    with place.owner() as owner:  # and the new store goes on with the log
        assert owner.log.status().covers
        write(owner, 91)
    check_restored(place)


def test_rows_written_while_a_snapshot_is_taken_are_in_neither_too_much_nor_too_little(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.owner() as owner:
        for number in range(30):
            write(owner, number)
        scan, count = Owner.scan, iter(range(100, 200))

        def busy(self: Owner, *arguments: Any) -> Any:
            rows = scan(self, *arguments)
            write(owner, next(count))
            return rows

        monkeypatch.setattr(Owner, "scan", busy)
        place.snapshot(owner)
        monkeypatch.undo()
    assert {100, 101} <= numbers(place.held()[0])
    check_restored(place)


def test_a_commit_that_was_cut_off_behind_its_record_is_made_at_the_next_opening(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.owner() as owner:
        write(owner, 1)
        place.snapshot(owner)
        append = RowLog.append

        def cut(self: RowLog, *arguments: Any) -> bytes:
            append(self, *arguments)
            raise Cut

        monkeypatch.setattr(RowLog, "append", cut)
        with pytest.raises(Cut):
            owner.store.commit(Batch(puts=(logged.put_of(owner, 2),)))
        monkeypatch.undo()
        assert 2 not in numbers({(row.bucket, row.key): row for row in owner.scan(None, 1000)})
    with place.owner() as owner:
        assert 2 in numbers({(row.bucket, row.key): row for row in owner.scan(None, 1000)})
        assert owner.log.status().covers
    check_restored(place)


@pytest.mark.parametrize("primitive", ["write_all", "sync_data", "write_atomic", "open_log"])
def test_a_log_that_cannot_be_written_refuses_the_commit_and_takes_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch, primitive: str
) -> None:
    with place.owner() as owner:
        write(owner, 1)
        place.snapshot(owner)
        owner.log.rotate()  # the next commit begins a segment, too
        before = owner.digest()
        real = getattr(files, primitive)

        def full(first: Any, data: Any = b"", **options: Any) -> Any:
            if primitive == "write_all":
                real(first, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(files, primitive, full)
        with pytest.raises(StoreError, match=r"row log.*nothing was committed"):
            write(owner, 2)
        assert owner.digest() == before
        status = owner.log.status()
        assert status.failure
        assert not status.covers
        monkeypatch.undo()
        write(owner, 3)
        assert owner.log.status().covers
    assert numbers(place.held()[0]) == {1, 3}
    check_restored(place)


def test_a_record_of_a_commit_for_which_the_store_had_no_room_is_taken_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.owner() as owner:
        place.snapshot(owner)
        put_meta = LmdbStore._put_meta

        def full(self: LmdbStore, txn: Any, name: str, value: bytes | None) -> None:
            if name == "rowlog_at":
                raise StoreFullError("the map is full")
            put_meta(self, txn, name, value)

        monkeypatch.setattr(LmdbStore, "_put_meta", full)
        with pytest.raises(StoreFullError):
            write(owner, 1)
        monkeypatch.undo()
        write(owner, 2)
    assert numbers(place.held()[0]) == {2}
    check_restored(place)


def test_where_nobody_knows_whether_a_commit_was_made_the_log_takes_no_more_until_the_next_opening(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.owner() as owner:
        place.snapshot(owner)
        put_meta = LmdbStore._put_meta

        def failing(self: LmdbStore, txn: Any, name: str, value: bytes | None) -> None:
            put_meta(self, txn, name, value)
            if name == "rowlog_at":
                raise StoreError("the disk failed")

        monkeypatch.setattr(LmdbStore, "_put_meta", failing)
        with pytest.raises(StoreError):
            write(owner, 1)
        monkeypatch.undo()
        with pytest.raises(StoreError, match="nobody knows"):
            write(owner, 2)
    with place.owner() as owner:
        write(owner, 3)
        assert owner.log.status().covers
    assert numbers(place.held()[0]) == {1, 3}
    check_restored(place)


def test_a_store_whose_log_is_not_there_is_not_opened_until_somebody_ends_it_by_name(place: Place) -> None:
    place.log.rename(place.log.parent / "elsewhere")
    with pytest.raises(RefusedError, match=r"mount it, or end the log by name"), place.owner():
        pass
    where = ["--drive", str(place.drive), "--store", str(place.store)]
    assert main(["engine", "row-log", "stop", *where, "--dry-run"]) == RefusedError.exit_code
    assert main(["engine", "row-log", "stop", *where]) == 0
    with place.owner() as owner:
        assert owner.log.status() == keeper.Status()
        write(owner, 1)
    assert main(["engine", "row-log", "stop", *where]) == 0


def test_what_was_committed_without_the_log_is_a_gap_that_a_snapshot_closes(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with place.owner() as owner:
        place.snapshot(owner)
    elsewhere = place.log.parent / "elsewhere"
    place.log.rename(elsewhere)
    with place.owner(needs_log=False) as owner:  # killed before it ended the log
        write(owner, 1)
    elsewhere.rename(place.log)
    with place.owner() as owner:
        assert not owner.log.status().covers
        assert "take a snapshot" in caplog.text
        write(owner, 2)
        place.snapshot(owner)
        assert owner.log.status().covers
        write(owner, 3)
        assert len({each.header.log for each in place.segments()}) == 1
    check_restored(place)


def test_a_log_whose_end_is_lost_is_a_gap(place: Place) -> None:
    with place.owner() as owner:
        place.snapshot(owner)
        write(owner, 1)
        write(owner, 2)
    path = Path(place.segments()[-1].path)
    os.truncate(path, path.stat().st_size - 10)
    with place.owner() as owner:
        assert not owner.log.status().covers
        place.snapshot(owner)
    check_restored(place)


def test_a_snapshot_that_was_put_in_the_stores_place_takes_no_commit_until_the_log_is_laid_over_it(
    place: Place,
) -> None:
    with place.owner() as owner:
        write(owner, 1)
        place.snapshot(owner)
        write(owner, 2)
        write(owner, 6)
    before = place.held()[0]
    lose(place)
    shutil.copytree(place.copy, place.store)
    with (
        pytest.raises(RefusedError, match=f"restore-store --snapshot DIR --row-log {place.log}"),
        place.owner(),
    ):
        pass
    assert place.restore_with_log() == 0
    assert place.held()[0] == before
    with place.owner() as owner:
        write(owner, 7)
        assert owner.log.status().covers


def test_a_snapshot_in_the_stores_place_goes_on_once_somebody_accepts_what_is_lost(place: Place) -> None:
    with place.owner() as owner:
        place.snapshot(owner)
        write(owner, 1)
    lose(place)
    shutil.copytree(place.copy, place.store)
    with pytest.raises(RefusedError, match="restore-store"), place.owner(needs_log=False):
        pass
    assert place.restore("--without-log") == 0
    with place.owner() as owner:
        assert owner.log.status() == keeper.Status()
        write(owner, 2)
    assert numbers(place.held()[0]) == {2}


def test_a_note_that_cannot_be_written_costs_no_commit(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with place.owner() as owner:
        place.snapshot(owner)
        with monkeypatch.context() as patch:
            patch.setattr(noting, "write", full)
            owner.log.rotate()
            write(owner, 1)
        assert "the drive says less of its log" in caplog.text
        assert owner.log.status().covers
    check_restored(place)


@pytest.mark.parametrize("dry_run", [False, True])
def test_no_log_begins_in_a_snapshot_and_the_drive_remembers_the_stores_own(
    place: Place, *, dry_run: bool
) -> None:
    with place.owner() as owner:
        place.snapshot(owner)
        write(owner, 1)
    known = noting.read(str(place.drive))
    with closing(
        Owner.open(str(place.drive), str(place.copy), OwnerSettings(drive_id=place.drive_id))
    ) as copy:
        with pytest.raises(RefusedError, match="is a snapshot of a store with a row log"):
            copy.log.start(str(place.log), accept_same_device=True, dry_run=dry_run)
        assert not copy.log.status().directory
    assert noting.read(str(place.drive)) == known


def test_two_stores_of_one_drive_cannot_write_one_log(place: Place) -> None:
    with place.owner():
        # Without marks: the drive's journal would be the first to refuse a second owner.
        other = OwnerSettings(drive_id=place.drive_id, marks=False)
        copy = Owner.open(str(place.drive), str(place.copy), other)
        try:
            with pytest.raises(StoreLockedError, match="another process writes"):
                copy.log.start(str(place.log), accept_same_device=True)
        finally:
            copy.close()


def test_a_log_on_a_disk_of_the_drive_is_refused_unless_accepted_and_never_on_the_drive(
    place: Place,
) -> None:
    with place.owner() as owner:
        owner.log.stop()
        with pytest.raises(RefusedError, match="accept-same-device"):
            owner.log.start(str(place.log))
        inside = place.drive / "inside"
        inside.mkdir()
        with pytest.raises(RefusedError, match="a place outside it"):
            owner.log.start(str(inside), accept_same_device=True)
        with pytest.raises(UsageError, match="no directory"):
            owner.log.start(str(place.drive.parent / "nowhere"), accept_same_device=True)
        assert owner.log.status() == keeper.Status()


def test_a_dry_run_begins_no_log(place: Place) -> None:
    where = ["--drive", str(place.drive), "--store", str(place.store)]
    assert main(["engine", "row-log", "stop", *where]) == 0
    other = place.log.parent / "other"
    other.mkdir()
    start = ["engine", "row-log", "start", *where, "--to", str(other), "--accept-same-device"]
    assert main([*start, "--dry-run"]) == 0
    assert list(other.iterdir()) == []
    assert main(start) == 0
    assert place.drive_id in os.listdir(other)
    assert main(["engine", "row-log", "status", *where]) == 0


def test_a_server_starts_and_ends_a_log_and_says_how_it_stands(place: Place) -> None:
    wanted = keeper.Wish(str(place.log), accept_same_device=True)
    figures = Figures()
    with opened(place.drive, "kv_only", figures=figures, row_log=wanted) as layer:
        layer.keeping.report(False)
        assert figures.gauges["rustfs_dual_track_row_log"] == 1
        assert figures.gauges["rustfs_dual_track_row_log_covers"] == 0
        assert layer.opened.owner is not None
        place.snapshot(layer.opened.owner)
        layer.keeping.report(False)
        assert figures.gauges["rustfs_dual_track_row_log_covers"] == 1
        record = figures.gauges["rustfs_dual_track_row_log_record"]
        layer.delete("bucket", "seed0")
        layer.keeping.report(False)
        assert figures.gauges["rustfs_dual_track_row_log_record"] > record
    with opened(place.drive, "kv_only", figures=figures, row_log=keeper.Wish(keeper.OFF)) as layer:
        layer.keeping.report(False)
        assert figures.gauges["rustfs_dual_track_row_log"] == 0


def test_a_server_that_is_told_of_a_log_that_cannot_be_does_not_start(place: Place) -> None:
    with pytest.raises(UsageError), opened(place.drive, "kv_only", row_log=keeper.Wish("/nowhere")):
        pass
    with place.owner() as owner:  # and the log that there was goes on
        assert owner.log.status().directory == str(place.log)


def test_a_client_speaks_to_the_log_over_the_socket(place: Place) -> None:
    with place.owner() as owner:
        server = Server(owner, str(place.store))
        client = OwnerClient(str(place.store), patience=1)
        try:
            assert client.log.status() == owner.log.status()
            client.log.stop()
            client.log.start(str(place.log), 0, accept_same_device=True)
            client.log.rotate()
            assert client.log.prune() == 0
            write(owner, 1)
            assert client.log.status().seq == owner.log.status().seq
        finally:
            client.close()
            server.close()


def test_with_an_interval_records_are_flushed_that_often(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    sync = files.sync_data
    with place.owner() as owner:
        owner.log.stop()
        owner.log.start(str(place.log), 3600, accept_same_device=True)
        monkeypatch.setattr(files, "sync_data", lambda descriptor: (flushed.append(1), sync(descriptor)))
        place.snapshot(owner)
        flushed.clear()
        for number in range(5):
            write(owner, number)
        assert flushed == []
    assert flushed == [1]
    check_restored(place)


def test_another_interval_ends_no_log_and_is_kept_by_a_restore(place: Place) -> None:
    with place.owner() as owner:
        place.snapshot(owner)
        write(owner, 1)
        owner.log.start(str(place.log), 3600, accept_same_device=True)
        write(owner, 2)
        assert owner.log.status().covers
    wanted = keeper.Wish(str(place.log), 1800, accept_same_device=True)
    with opened(place.drive, "kv_only", row_log=wanted) as layer:
        assert layer.opened.owner is not None
        assert layer.opened.owner.log.status().covers
        write(layer.opened.owner, 3)
    assert len({each.header.log for each in place.segments()}) == 1
    check_restored(place)
    with place.owner() as owner:
        assert Setting.of(owner.meta(SETTING)) == Setting(str(place.log), 1800)
        assert owner.log.status().covers


@pytest.mark.parametrize(("before", "after"), [(3600, 0), (0, 3600), (3600, 1800)])
def test_another_interval_holds_from_the_next_record_on(
    place: Place, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    flushed: list[int] = []
    sync = files.sync_data
    with place.owner() as owner:
        owner.log.start(str(place.log), before, accept_same_device=True)
        write(owner, 1)
        monkeypatch.setattr(files, "sync_data", lambda descriptor: (flushed.append(1), sync(descriptor)))
        owner.log.start(str(place.log), after, accept_same_device=True)
        assert bool(flushed) == (before > 0 or after == 0)  # what was not durable yet, and the setting itself
        flushed.clear()
        write(owner, 2)
        write(owner, 3)
        assert len(flushed) == (0 if after else 2)


def test_a_commit_that_fails_leaves_the_interval_as_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with place.owner() as owner:
        place.snapshot(owner)
        with monkeypatch.context() as patch:
            patch.setattr(files, "write_atomic", full)
            with pytest.raises(StoreError, match="nothing was committed"):
                owner.log.start(str(place.log), 3600, accept_same_device=True)
        write(owner, 1)
        assert {each.header.flush_seconds for each in place.segments()} == {0}
        assert Setting.of(owner.meta(SETTING)) == Setting(str(place.log))
    check_restored(place)


def test_a_relative_directory_is_that_of_whoever_names_it(place: Place) -> None:
    other = place.drive.parent / "other"
    other.mkdir()
    with place.owner() as owner:
        owner.log.stop()
        server = Server(owner, str(place.store))
        try:
            start = ["row-log", "start", "--drive", str(place.drive), "--store", str(place.store)]
            command = [sys.executable, "-m", "dualtrack.cli.main", "engine", *start, "--to", "other"]
            subprocess.run([*command, "--accept-same-device"], cwd=other.parent, check=True)
        finally:
            server.close()
        assert owner.log.status().directory == str(other)


def test_a_snapshot_relies_on_no_record_that_was_not_flushed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.owner() as owner:
        owner.log.stop()
        owner.log.start(str(place.log), 3600, accept_same_device=True)
        scan, count, durable = Owner.scan, iter(range(100, 200)), dict[str, int]()
        sync = files.sync_data

        def busy(self: Owner, *arguments: Any) -> Any:
            rows = scan(self, *arguments)
            write(owner, next(count))
            return rows

        def noted(descriptor: int) -> None:
            sync(descriptor)
            durable[os.readlink(f"/proc/self/fd/{descriptor}")] = os.fstat(descriptor).st_size

        monkeypatch.setattr(Owner, "scan", busy)
        monkeypatch.setattr(files, "sync_data", noted)
        place.snapshot(owner)
        monkeypatch.setattr(RowLog, "_flush", lambda _: None)  # the power goes
    monkeypatch.undo()
    for segment in place.segments():
        os.truncate(segment.path, durable.get(segment.path, segment.start))
    lose(place)
    assert place.restore_with_log() == 0


def test_what_a_killed_owner_had_not_flushed_is_flushed_before_it_is_relied_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = place.open()
    owner.log.stop()
    owner.log.start(str(place.log), 3600, accept_same_device=True)
    write(owner, 1)
    with monkeypatch.context() as patch:
        patch.setattr(RowLog, "_flush", lambda _: None)  # it is killed
        owner.close()
    flushed: list[str] = []
    sync = files.sync_file
    monkeypatch.setattr(files, "sync_file", lambda path: (flushed.append(path), sync(path)))
    written = max(place.segments(), key=lambda each: each.time_ns).path
    with place.owner():
        assert written in flushed


@pytest.mark.parametrize("seconds", [0, 3600])
def test_what_was_acknowledged_before_a_kill_is_in_snapshot_and_log(tmp_path: Path, seconds: int) -> None:
    place = logged.started(tmp_path, flush_seconds=seconds)
    with place.owner() as owner:
        place.snapshot(owner)
    start = 0
    for round_ in range(3):
        last = killed(place, start, 5 + 7 * round_)
        before = lost_and_restored(place)
        assert before >= {number for number in range(start, last) if number % 5 != 4 and last - number < 30}
        start = last + 1


def killed(place: Place, start: int, lines: int) -> int:
    """The number after the last write that was acknowledged before the writer was killed."""
    command = [sys.executable, logged.__file__, str(place.drive), str(start)]
    last = start
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(lines):
            last = int(process.stdout.readline()) + 1
        process.send_signal(signal.SIGKILL)
        last += sum(1 for _ in process.stdout)
    return last
