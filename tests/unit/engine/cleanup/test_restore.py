"""Restoring after writes and deletes in `kv_only`: rows win, nothing comes back to life, nothing is lost."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import files, marker, naming, snapshot
from dualtrack.engine.cleanup import records
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import Drive
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.repair.apply import repair
from dualtrack.engine.repair.strategies import Strategy
from dualtrack.engine.restore import restore
from dualtrack.engine.restoring import Restoring
from dualtrack.engine.rows import NO_FILE, Row, RowOrigin, RowState
from dualtrack.engine.snapshot import put_of
from dualtrack.engine.stores.protocol import Batch
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import (
    DifferenceError,
    IncompleteError,
    MarkerError,
    OwnerError,
    RefusedError,
    StoreCorruptError,
    StoreLockedError,
)


def present(task: Task, prefix: str = "plain") -> list[Row]:
    return [row for row in task.owner.scan(None, 10_000) if row.present and row.bucket == prefix]


def overwrite(task: Task, row: Row, data: bytes, key: str | None = None) -> Row:
    """As a data plane in `kv_only` commits: no file, origin KV."""
    new = replace(
        row,
        key=key or row.key,
        generation=task.owner.next_generation(),
        origin=RowOrigin.KV,
        fingerprint=NO_FILE,
        mode=0o644,
        mtime_ns=time.time_ns(),
        data=data,
    )
    task.owner.commit(Batch(puts=(put_of(new),)))
    return new


def delete(task: Task, row: Row) -> None:
    tombstone = Row.tombstone(row.bucket, row.key, task.owner.next_generation(), RowOrigin.KV)
    task.owner.commit(Batch(puts=(put_of(tombstone),)))


def meta(bench, row: Row) -> Path:
    return bench.drive / naming.meta_path(row.bucket, row.key)


def cut_over(bench) -> None:
    """What `mark` does: the marker says that rows are the truth."""
    with bench.task() as task:
        uuid = task.owner.info().store_uuid
    marker.write(
        str(bench.drive), Marker(MarkerState.KV_ONLY, uuid, 0, "", task.now().isoformat(timespec="seconds"))
    )


@pytest.mark.parametrize("way", ["files still there", "held", "purged"])
def test_what_was_written_and_deleted_in_kv_only_is_what_comes_back(small, tmp_path: Path, way: str) -> None:
    if way == "files still there":
        cut_over(small)
    else:
        small.run(hold)
    if way == "purged":
        small.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
        small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    before = small.files()
    with small.task() as task:
        rows = present(task)
        new = overwrite(task, rows[0], rows[1].data)
        born = overwrite(task, rows[2], rows[2].data, key="born/in/kv")
        delete(task, rows[3])
    small.run(restore)

    assert meta(small, new).read_bytes() == rows[1].data
    assert meta(small, born).read_bytes() == rows[2].data
    assert not meta(small, rows[3]).exists()
    status = meta(small, new).stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (new.mtime_ns, 0o644)
    undone = [
        path.read_bytes() for path in (small.drive / ".dualtrack" / "undo").rglob("*") if path.is_file()
    ]
    expected = sorted([rows[0].data, rows[3].data]) if way == "files still there" else []
    assert sorted(undone) == expected
    if way == "files still there":
        untouched = {path for path in before if path not in {f"plain/{rows[i].key}/xl.meta" for i in (0, 3)}}
        after = small.files()
        assert {path: after[path] for path in untouched} == {path: before[path] for path in untouched}
    # Files back every row again, so that a sweep may replace them and a verification finds all equal.
    small.run(lambda task: Verification(task).run())
    with small.task() as task:
        assert all(row.origin is RowOrigin.FS for row in task.owner.scan(None, 10_000))


def test_a_file_that_was_written_after_the_marker_and_then_deleted_in_kv_only_is_held(small) -> None:
    cut_over(small)
    small.run(lambda task: Verification(task, final=True).run())
    with small.task() as task:
        row = present(task)[0]
        written = time.time_ns() + 60_000_000_000  # by the server of before, which still ran then
        os.utime(meta(small, row), ns=(written, written))
        tombstone = Row.tombstone(row.bucket, row.key, task.owner.next_generation(), RowOrigin.KV)
        task.owner.commit(Batch(puts=(put_of(replace(tombstone, mtime_ns=written)),)))
    small.run(hold)
    assert small.metas() == []


def test_a_superseded_file_is_held_like_any_other(small) -> None:
    cut_over(small)
    small.run(lambda task: Verification(task, final=True).run())
    with small.task() as task:
        rows = present(task)
        overwrite(task, rows[0], rows[1].data)
        delete(task, rows[3])
    held = small.run(hold)
    assert held.counts["superseded"] == 2
    assert small.metas() == []
    small.run(restore)
    assert meta(small, rows[0]).read_bytes() == rows[1].data
    assert not meta(small, rows[3]).exists()


def test_a_file_newer_than_its_row_is_refused_and_the_drive_stays_held(small) -> None:
    small.run(hold)
    with small.task() as task:
        rows = present(task)
        overwrite(task, rows[0], rows[1].data)
    for row in (rows[0], rows[4]):
        path = meta(small, row)
        path.write_bytes(b"somebody else's")
        later = time.time_ns() + 10**9
        os.utime(path, ns=(later, later))
    with small.task() as task:
        with pytest.raises(DifferenceError, match="2 files are newer"):
            restore(task)
        assert sorted(name.split(":")[0] for name in task.names) == sorted(
            f"plain/{row.key}" for row in (rows[0], rows[4])
        )
    assert meta(small, rows[0]).read_bytes() == b"somebody else's"
    assert Drive.open(small.drive).held
    assert marker.read(str(small.drive)).state is MarkerState.KV_ONLY
    meta(small, rows[0]).unlink()
    meta(small, rows[4]).unlink()
    small.run(restore)
    assert meta(small, rows[4]).read_bytes() == rows[4].data


def test_a_drive_that_was_repaired_by_its_rows_goes_all_the_way(small, tmp_path: Path) -> None:
    """A file that nobody of ours wrote, and one that is gone: neither keeps the drive from its cleanup."""
    cut_over(small)
    before = small.files()
    with small.task() as task:
        foreign, gone = present(task)[:2]
    meta(small, foreign).write_bytes(gone.data)
    meta(small, gone).unlink()
    with pytest.raises(DifferenceError, match="repair --strategy use-kv, or restore"):
        small.run(lambda task: Verification(task, final=True).run())
    small.run(lambda task: repair(task, Strategy.USE_KV))
    small.run(lambda task: Verification(task, final=True).run())
    small.run(hold)
    assert small.metas() == []
    small.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    small.run(restore)
    assert small.files() == before
    small.run(lambda task: Verification(task).run())


@pytest.mark.parametrize("verb", [hold, restore])
@pytest.mark.parametrize("gone", [False, True], ids=["overwritten", "deleted"])
def test_a_file_that_a_wrong_clock_has_dated_later_than_its_row_goes_by_a_persons_word(
    small, verb, gone: bool
) -> None:
    """Nobody can tell it from one that a server wrote later. Whoever can names the object."""
    cut_over(small)
    with small.task() as task:
        row, other = present(task)[:2]
        new = Row.tombstone(row.bucket, row.key, row.generation) if gone else overwrite(task, row, other.data)
        if gone:
            delete(task, row)
    later = time.time_ns() + 48 * 3_600 * 10**9
    os.utime(meta(small, row), ns=(later, later))
    kept = meta(small, row).read_bytes()
    small.run(lambda task: Verification(task, final=True).run())
    if not (gone and verb is restore):  # which puts it aside itself
        with pytest.raises(DifferenceError, match=r"its file is newer.*--strategy use-kv"):
            small.run(verb)
    assert small.run(lambda task: repair(task, Strategy.USE_KV)).committed == 0, "no difference, unless named"
    task = small.run(lambda task: repair(task, Strategy.USE_KV, [(row.bucket, row.key)]))
    if not (gone and verb is restore):
        assert task.committed == 1
        small.run(lambda task: Verification(task, final=True).run())
        (aside,) = (small.drive / ".dualtrack/undo/repair").rglob("*.meta")
        assert aside.read_bytes() == kept
    small.run(verb)
    small.run(restore)
    assert meta(small, row).exists() is not gone
    assert gone or meta(small, row).read_bytes() == new.data
    small.run(lambda task: Verification(task).run())


def test_a_drive_that_was_copied_to_where_no_rename_leaves_a_name_alone_is_restored(
    small, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = small.files()
    small.run(hold)

    def refused(source: str, target: str, flags: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument", source, None, target)

    monkeypatch.setattr(files, "_renameat2", refused)
    small.run(restore)
    assert small.files() == before
    assert list((small.drive / ".dualtrack/tmp").iterdir()) == []


@pytest.mark.parametrize("cut", ["at a limit", "in a batch"])
def test_after_a_restore_a_hold_that_was_cut_off_begins_anew(
    small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut: str
) -> None:
    """Where it went on instead, the files that it had taken before would stay beside their rows."""
    before = small.files()
    if cut == "at a limit":
        with pytest.raises(IncompleteError, match="--limit"):
            small.run(hold, limit=5)
    else:
        with monkeypatch.context() as patch:
            patch.setattr(records, "put_down", cut_off)
            with pytest.raises(IncompleteError, match="the process has ended"):
                small.run(hold)
    small.run(restore)
    assert small.files() == before
    small.run(lambda task: Verification(task).run())
    small.run(hold)
    assert small.metas() == []
    small.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    task = small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    assert (task.counts["strangers"], small.held()) == (0, 0)
    small.run(restore)
    assert small.files() == before


@pytest.mark.parametrize("way", ["overwritten", "deleted"])
def test_a_restore_cut_off_again_and_again_takes_no_file_that_it_has_not_kept(
    small, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Each time somebody puts another old file into the place, as a backup tool does that keeps times."""
    cut_over(small)
    with small.task() as task:
        rows = present(task)
        row = overwrite(task, rows[0], rows[1].data) if way == "overwritten" else rows[0]
        if way == "deleted":
            delete(task, row)
    kept: set[bytes] = set()
    with monkeypatch.context() as patch:
        patch.setattr(Restoring, "_settled", cut_off)
        for other in rows[2:6]:
            path = meta(small, row)
            path.unlink(missing_ok=True)
            path.write_bytes(other.data)
            os.utime(path, ns=(1, 1))
            with pytest.raises((IncompleteError, DifferenceError)):
                small.run(restore)
            aside = (small.drive / ".dualtrack" / "undo").rglob("*")
            kept = {each.read_bytes() for each in aside if each.is_file()}
            assert other.data in kept or path.read_bytes() == other.data
    assert len(kept) >= 2


def cut_off(*_: object) -> None:
    raise IncompleteError("the process has ended")


@pytest.mark.parametrize("when", ["before it is put aside", "before it is replaced"])
@pytest.mark.parametrize("way", ["overwritten", "deleted"])
def test_what_somebody_writes_over_an_older_file_during_a_restore_stays(
    small, monkeypatch: pytest.MonkeyPatch, way: str, when: str
) -> None:
    """H9: a server that knows nothing of our locks puts the object again after it was judged."""
    cut_over(small)
    with small.task() as task:
        rows = present(task)
        overwrite(task, rows[0], rows[1].data) if way == "overwritten" else delete(task, rows[0])
    path, copy = meta(small, rows[0]), meta(small, rows[0]).with_name("copy")
    written: list[bytes] = []

    def write() -> None:
        if not written:
            written.append(rows[2].data)
            copy.write_bytes(written[0])
            copy.rename(path)

    real_aside, real_sync = records.aside, files.sync_directory

    def aside(*arguments: Any) -> str:
        write()
        return real_aside(*arguments)

    def sync(folder: str) -> None:
        if Path(folder).match(".dualtrack/undo/*/*"):
            write()
        real_sync(folder)

    if when == "before it is put aside":
        monkeypatch.setattr(records, "aside", aside)
    else:
        monkeypatch.setattr(files, "sync_directory", sync)
    with pytest.raises(DifferenceError, match=f"plain/{rows[0].key}: "):
        small.run(restore)
    assert path.read_bytes() == written[0]


def test_every_file_that_somebody_writes_over_a_deleted_one_goes_back_to_its_place(
    small, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_over(small)
    with small.task() as task:
        rows = present(task)
        for row in rows[:3]:
            delete(task, row)
    real = records.aside

    def aside(root: str, folder: str, epoch: int, row: Row) -> str:
        copy = meta(small, row).with_name("copy")
        copy.write_bytes(rows[3].data)
        copy.rename(meta(small, row))
        return real(root, folder, epoch, row)

    monkeypatch.setattr(records, "aside", aside)
    with pytest.raises(DifferenceError, match="; ".join(f"plain/{row.key}" for row in rows[:3])):
        small.run(restore)
    assert [meta(small, row).read_bytes() for row in rows[:3]] == [rows[3].data] * 3


def test_objects_read_from_their_files_are_neither_held_nor_restored(small) -> None:
    with small.task() as task:
        row = present(task)[6]
        resident = replace(row, generation=task.owner.next_generation(), state=RowState.FS_RESIDENT)
        task.owner.commit(Batch(puts=(put_of(resident),)))
    held = small.run(hold)
    assert held.counts["resident"] == 1
    assert small.metas() == [naming.object_directory(row.bucket, row.key)]
    assert small.run(restore).counts["resident"] == 1
    assert meta(small, row).read_bytes() == row.data


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_rows_point_to_and_that_is_gone_is_restored_or_told_as_lost(small, known: bool) -> None:
    with small.task() as task:
        row = present(task)[6]
        resident = replace(row, generation=task.owner.next_generation(), state=RowState.FS_RESIDENT)
        task.owner.commit(Batch(puts=(put_of(resident if known else replace(resident, data=b"")),)))
    small.run(hold)
    before = meta(small, row).stat()
    meta(small, row).unlink()
    task = small.run(restore)
    assert task.counts["residentMissing"] == (not known)
    if known:
        after = meta(small, row).stat()
        assert meta(small, row).read_bytes() == row.data
        assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    else:
        assert f"{row.bucket}/{row.key} is lost" in task.names[0]
        assert "1 objects are lost" in str(task.notes["warning"])


def test_data_directories_that_no_version_names_stay_and_are_counted(small) -> None:
    small.run(hold)
    with small.task() as task:
        row = present(task)[8]
    orphan = meta(small, row).parent / "7b0c7a5e-3f4e-4d2c-9a51-0a6f6f1f2d3e"
    orphan.mkdir()
    (orphan / "part.1").write_bytes(b"x")
    assert small.run(restore).counts["orphanDirectories"] == 1
    assert (orphan / "part.1").exists()


def test_a_lost_marker_on_a_held_drive_is_no_reason_to_guess(small) -> None:
    small.run(hold)
    (small.drive / ".dualtrack" / "marker.json").unlink()
    with pytest.raises(MarkerError, match="held by its format"):
        small.run(restore)


def test_no_restore_beside_a_server_that_writes_rows_only(small) -> None:
    small.run(hold)
    with pytest.raises(OwnerError, match="kv_primary without fallback"):
        small.run(restore, client_only=True)
    assert small.metas() == []


def test_a_snapshot_restores_a_drive_whose_store_is_lost(small, tmp_path: Path) -> None:
    before = small.files()
    small.run(hold)
    small.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    for name in os.listdir(small.store):
        (small.store / name).unlink()
    replace(small, store=tmp_path / "copy").run(restore)
    assert small.files() == before


def test_a_snapshot_is_the_store_of_its_time(small, tmp_path: Path) -> None:
    with small.task() as task:
        copy = tmp_path / "copy"
        first = snapshot.snapshot(task, str(copy))
        assert first.digest == str(task.owner.digest())
        rows = present(task)
        overwrite(task, rows[0], rows[1].data)
        second = snapshot.snapshot(task, str(copy))
        assert second.digest == str(task.owner.digest()) != first.digest
        assert not (tmp_path / "copy.tmp").exists()
        assert not (tmp_path / "copy.old").exists()


def test_a_snapshot_that_was_owned_is_replaced_once_nobody_has_it_open(small, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    small.run(lambda task: snapshot.snapshot(task, str(copy)))
    owner = Owner.open(None, str(copy), OwnerSettings())
    with pytest.raises(StoreLockedError, match="copy"):
        small.run(lambda task: snapshot.snapshot(task, str(copy)))
    owner.close()
    assert (copy / "owner.lock").exists()
    for _ in range(2):
        small.run(lambda task: snapshot.snapshot(task, str(copy)))
        assert not (tmp_path / "copy.old").exists()
    assert sorted(os.listdir(copy)) == ["data.mdb", "lock.mdb"]


def test_what_is_no_part_of_a_snapshot_is_not_removed_with_it(small, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    small.run(lambda task: snapshot.snapshot(task, str(copy)))
    (copy / "notes").write_text("mine")
    with pytest.raises(RefusedError, match="notes"):
        small.run(lambda task: snapshot.snapshot(task, str(copy)))
    assert (copy / "notes").exists()


def test_rows_written_during_a_snapshot_are_counted_apart(small, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(snapshot, "PAGE", 16)
    with small.task() as task:
        rows = present(task)
        written: list[Row] = []

        def report(scanned: int, committed: int, total: int | None) -> None:
            if scanned > 40 and not written:
                written.append(overwrite(task, rows[0], rows[1].data))

        task.report = report
        record = snapshot.snapshot(task, str(tmp_path / "copy"))
        assert written
        assert task.counts["newer"] == 1
        assert record.count == task.owner.digest().count


def test_a_flipped_bit_in_a_snapshot_is_found_before_a_purge(small, tmp_path: Path) -> None:
    small.run(hold)
    copy = tmp_path / "copy"
    small.run(lambda task: snapshot.snapshot(task, str(copy)))
    data = bytearray((copy / "data.mdb").read_bytes())
    with small.task() as task:
        place = data.index(present(task)[5].data[:64])
    data[place + 40] ^= 1
    (copy / "data.mdb").write_bytes(data)
    held = small.held()
    with pytest.raises(StoreCorruptError):
        small.run(lambda task: purge(task, str(copy), same_device=True))
    assert small.held() == held


def test_a_restore_cut_off_behind_format_json_gives_its_directory_its_time_back(
    small, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = small.directories()
    small.run(hold)
    real, volume = os.utime, str(small.drive / ".minio.sys")

    def cut_off(path, *arguments, **options):
        if path == volume:
            raise KeyboardInterrupt
        real(path, *arguments, **options)

    monkeypatch.setattr(os, "utime", cut_off)
    with pytest.raises(KeyboardInterrupt):
        small.run(restore)
    assert not Drive.open(small.drive).held
    monkeypatch.undo()
    small.run(restore)
    assert small.directories() == before


def test_a_held_drive_has_no_files_to_verify(small) -> None:
    small.run(hold)
    with pytest.raises(RefusedError, match="verify --against-snapshot"):
        small.run(lambda task: Verification(task, final=True).run())
