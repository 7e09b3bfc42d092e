"""The accidents that people fear by name, each played out once on a real drive."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import departed, marker, naming, snapshot
from dualtrack.engine.cleanup import hold as holding
from dualtrack.engine.cleanup import records
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import Drive
from dualtrack.engine.judging import Verdict
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.native import library
from dualtrack.engine.objects.errors import NoSuchKey
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.pace import Pace
from dualtrack.engine.restore import restore
from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState, is_system
from dualtrack.engine.snapshot import put_of
from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.protocol import Batch, Outcome, Place
from dualtrack.engine.stores.transaction import ROWS
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import (
    DifferenceError,
    DriveError,
    FencedError,
    IncompleteError,
    StoreCorruptError,
    StoreVersionError,
)
from layers import Body, new_drive, opened, sweep

Copy = Callable[[Path], Any]


@pytest.fixture
def bench(copies: Copy, migrated_tiny: Path) -> Any:
    return copies(migrated_tiny)


def rows_of(task: Task) -> list[Row]:
    return [row for row in task.owner.scan(None, 10_000) if not is_system(row.bucket)]


def verified(bench: Any) -> Task:
    with bench.task() as task:
        Verification(task).run()
    return task


def test_values_under_wrong_keys(bench: Any) -> None:
    """Two whole, valid values change places: LMDB notices nothing, the envelope does, at every way in."""
    with bench.task() as task:
        first, second = rows_of(task)[:2]
        with task.owner.store._write() as txn:
            keys = [full_key(row.bucket, row.key) for row in (first, second)]
            values = {key: bytes(value) for key, value in txn.get_many(ROWS, keys).items()}
            for key, other in zip(keys, reversed(keys), strict=True):
                txn.put(ROWS, key, values[other])
    named = f"{first.bucket}/{first.key}"
    with bench.task() as task:
        with pytest.raises(StoreCorruptError, match=named):
            task.owner.get_many([(first.bucket, first.key)])
        with pytest.raises(StoreCorruptError, match=named):
            task.owner.digest()
    for verb in (hold, lambda task: Verification(task).run(), restore_from_rows):
        with pytest.raises((StoreCorruptError, DifferenceError), match=named):
            bench.run(verb)
    assert bench.held() == 0


def restore_from_rows(task: Task) -> None:
    """A restore asks nothing while files are the truth, so rows are made the truth first."""
    info = task.owner.info()
    task.held_lock().move_marker(Marker(MarkerState.KV_ONLY, info.store_uuid, 0, "", "2026-11-23T00:00:00Z"))
    restore(task)


def test_a_reused_inode(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another object's file with the inode, size and time of the one that was judged is not taken for it."""
    path = bench.drive / bench.metas()[0] / "xl.meta"
    before = path.stat()
    other = path.read_bytes()[::-1]
    move = holding._move

    def meanwhile(root: str, moving: Any) -> None:
        with open(path, "r+b") as file:
            file.write(other)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        move(root, moving)

    monkeypatch.setattr(holding, "_move", meanwhile)
    with pytest.raises(DifferenceError, match="is another file, and was put back"):
        bench.run(hold)
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    assert path.read_bytes() == other


def test_a_reused_inode_is_read_again_by_the_sweep(bench: Any) -> None:
    """Only ctime and content differ, which is all that a fast server on a young file system leaves."""
    path = bench.drive / bench.metas()[0] / "xl.meta"
    source = bench.drive / bench.metas()[1] / "xl.meta"
    data, before = source.read_bytes(), path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DifferenceError, match=Verdict.CONTENT.value):
        verified(bench)
    bench.migrate()
    with bench.task() as task:
        assert rows_of(task)[0].data == data


@pytest.mark.parametrize("purged", [False, True])
def test_a_held_file_older_than_its_row(bench: Any, tmp_path: Path, purged: bool) -> None:
    """Overwritten in `kv_only` while its old file is held: the row comes back, never the file."""
    bench.run(hold)
    with bench.task() as task:
        old, other = rows_of(task)[:2]
        new = replace(
            old,
            generation=task.owner.next_generation(),
            origin=RowOrigin.KV,
            fingerprint=NO_FILE,
            mtime_ns=old.mtime_ns + 1_000_000_000,
            data=other.data,
        )
        task.owner.commit(Batch(puts=(put_of(new),)))
    if purged:
        bench.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
        bench.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    bench.run(restore)
    path = bench.drive / naming.meta_path(old.bucket, old.key)
    assert path.read_bytes() == new.data != old.data


def test_a_zombie_worker_after_its_lease(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Job was given to another pod, which has begun: not a row, not a file, not the marker moves more."""
    monkeypatch.setattr(holding, "BATCH", 3)
    with bench.task() as zombie:
        zombie_commits: list[int] = []

        def report(scanned: int, committed: int, total: int | None) -> None:
            if committed and not zombie_commits:
                zombie_commits.append(committed)
                zombie.owner.begin("the next pod", 0)

        zombie.report = report
        left = len(bench.metas())
        with pytest.raises(FencedError):
            hold(zombie)
        assert len(bench.metas()) == left - zombie_commits[0]
        with pytest.raises(FencedError):
            zombie.commit(meta={"verified": b"{}"})
        row = rows_of(zombie)[0]
        with pytest.raises(FencedError):
            zombie.owner.commit(Batch(zombie.fence, (put_of(row),)))
    bench.run(hold)
    assert bench.metas() == []


def test_a_zombie_worker_finds_the_drives_lock_in_other_hands(bench: Any) -> None:
    """A pod that could not reach the store any more still holds a descriptor; the drive's lock file was
    replaced under it.
    """
    with bench.task() as zombie:
        lock = bench.drive / ".dualtrack" / "lock"
        lock.rename(lock.with_name("old"))
        lock.write_bytes(b'{"fence": 999, "runID": "the next pod"}'.ljust(512))
        with pytest.raises(FencedError, match="obsolete"):
            hold(zombie)
    assert bench.held() == 0


def test_a_lowered_ratio_and_a_second_attempt(tmp_path: Path) -> None:
    """What was written off the dual track between two attempts is never answered by a row of the first."""
    drive = new_drive(tmp_path / "d1")
    (drive / "bucket").mkdir()
    keys = [f"k{number}" for number in range(24)]
    with opened(drive, "fs/1", epoch=1, drain=True) as layer:
        for key in keys:
            layer.put("bucket", key, Body(b"first"), Attributes())
        sweep(layer)
    with opened(drive, "fs/0.5", epoch=2, drain=True) as layer:
        untracked = [key for key in keys if not layer.opened.mode.dual("bucket", key)]
        assert 0 < len(untracked) < len(keys)
        for key in keys:
            layer.put("bucket", key, Body(b"second"), Attributes())
    with opened(drive, "fs/1", epoch=3) as layer:
        owner = layer.opened.owner
        assert owner is not None
        for key in untracked:
            row = owner.get("bucket", key)
            assert row is None or row.generation < owner.trust_floor(), key
        assert owner.meta("swept_epoch") is None
        assert owner.meta("verified") is None
        sweep(layer)
    for mode in ("kv_primary/1/true", "kv_primary/1/false"):
        with opened(drive, mode, epoch=3) as layer:
            for key in keys:
                _, chunks = layer.read("bucket", key, None)
                assert b"".join(chunks) == b"second", (mode, key)


def test_a_key_deleted_in_a_first_attempt_can_be_written_in_a_second(tmp_path: Path) -> None:
    """Its tombstone is older than the trust floor, and no walk meets it: the sweep has to confirm it, or the
    key answers 503 for good once rows alone are asked. Found by the soak, seed 20261126.
    """
    drive = new_drive(tmp_path / "d1")
    (drive / "bucket").mkdir()
    with opened(drive, "fs/1", epoch=1) as layer:
        layer.put("bucket", "kept", Body(b"kept"), Attributes())
        layer.put("bucket", "gone", Body(b"gone"), Attributes())
        layer.drain()
        layer.delete("bucket", "gone")
        layer.drain()
    with opened(drive, "fs/0.5", epoch=2):
        pass
    with opened(drive, "fs/1", epoch=3) as layer:
        owner = layer.opened.owner
        assert owner is not None
        (row,) = owner.get_many([("bucket", "gone")])
        assert row is not None
        assert row.state is RowState.TOMBSTONE
        assert row.generation < owner.trust_floor()
        task = Task(Drive.open(drive), "", owner, owner.begin("sweep", 0), "sweep")
        Sweep(task, Pace(None, None, lambda: 0.0)).run()
        assert task.counts["tombstones"] == 0, "it was deleted before, and counts against no limit"
    with opened(drive, "kv_only", epoch=3) as layer:
        with pytest.raises(NoSuchKey):
            layer.read("bucket", "gone", None)
        layer.put("bucket", "gone", Body(b"anew"), Attributes())


def test_a_held_file_whose_row_went_back_is_not_purged(bench: Any, tmp_path: Path) -> None:
    """The store was put back from an older copy: what it says is older than what was held."""
    bench.run(hold)
    bench.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    with bench.task() as task:
        row = rows_of(task)[0]
        full = full_key(row.bucket, row.key)
        with task.owner.store._write() as txn:
            txn.put(ROWS, full, _older(task, row, bytes(txn.get_many(ROWS, [full])[full])))
    with bench.task() as task, pytest.raises(DifferenceError, match="has no row, or an older one"):
        purge(task, str(tmp_path / "copy"), same_device=True)
    assert bench.held() == 1


def test_an_object_that_was_held_twice_at_one_place_is_purged_by_its_later_record(
    bench: Any, tmp_path: Path
) -> None:
    """Found by the state machine (seed 3224623884): back from the first hold, written, and held once more."""
    bench.run(hold)
    with bench.task() as task:
        name, (first, *others) = next(records.held_batches(task.owner))
        earlier = replace(first, digest=records.content_digest(b"earlier"), inode=first.inode + 1)
        number = int(task.owner.meta(records.NUMBER) or b"0") + 1
        later = records.held_name(int(first.target.split("/")[2]), number)
        batches = {name: [earlier, *others], later: [first]}
        task.commit(meta={place: records.pack_batch(batch) for place, batch in batches.items()})
    bench.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    bench.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    assert bench.held() == 0


def test_a_held_file_that_no_record_knows_is_not_purged(bench: Any, tmp_path: Path) -> None:
    """Nor is it forgotten by a purge that was cut off behind it."""
    bench.run(hold)
    bench.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    with bench.task() as task:
        name, (first, *others) = next(records.held_batches(task.owner))
        batches = {name: [first], name[:-1] + str(int(name[-1]) + 1): others}
        task.commit(meta={place: records.pack_batch(batch) for place, batch in batches.items()})
    (bench.drive / first.target).write_bytes(b"somebody else's")
    with bench.task() as task:
        task.limit = 1
        with pytest.raises(IncompleteError, match="as many as --limit"):
            purge(task, str(tmp_path / "copy"), same_device=True)
    kept = r"1 held files were kept.*is not the file"
    with bench.task() as task, pytest.raises(DifferenceError, match=kept):
        purge(task, str(tmp_path / "copy"), same_device=True)
    assert (bench.drive / first.target).read_bytes() == b"somebody else's"
    assert bench.held() == 1


def _older(task: Task, row: Row, value: bytes) -> bytes:
    drive = task.owner.store._drive
    known = envelope.unpack(drive, full_key(row.bucket, row.key), value)
    back = replace(row, generation=Generation(row.generation.term, 0))
    return envelope.pack(drive, full_key(row.bucket, row.key), back, known.versions, known.summary_check)


def test_a_dead_disk_with_its_store(copies: Copy, migrated_tiny: Path, tmp_path: Path) -> None:
    """The rows of a drive die with it, and with no other; an empty disk in its place is no empty drive."""
    dead, alive = copies(migrated_tiny), copies(migrated_tiny)
    before = dead.files()
    copy = tmp_path / "copy"
    dead.run(hold)
    dead.run(lambda task: snapshot.snapshot(task, str(copy)))
    shutil.rmtree(dead.drive)
    dead.drive.mkdir()
    with pytest.raises(DriveError, match="no drive of a MinIO or RustFS server"):
        dead.run(restore)
    assert verified(alive).counts["equal"] > 9
    other = new_drive(tmp_path / "other")
    with pytest.raises(StoreVersionError):
        Owner.open(str(other), str(alive.store), OwnerSettings(drive_id=Drive.open(other).drive_id))
    # The new disk as its server formats it, in the place of the dead one; then the snapshot.
    shutil.copytree(alive.drive / ".minio.sys", dead.drive / ".minio.sys")
    with replace(dead, store=copy).task() as task:
        restore_from_rows(task)
    assert {path: fields[-1] for path, fields in dead.files().items() if "xl.meta" in path} == {
        path: fields[-1] for path, fields in before.items() if "xl.meta" in path
    }


class _HalfRead:
    """A directory whose first entry comes, and then an I/O error."""

    def __init__(self, entries: Iterator[os.DirEntry[str]]) -> None:
        self._entries = entries

    def __enter__(self) -> Iterator[os.DirEntry[str]]:
        yield_one = iter(self._entries)

        def half() -> Iterator[os.DirEntry[str]]:
            yield next(yield_one)
            raise OSError(5, "Input/output error")

        return half()

    def __exit__(self, *_: object) -> None:
        self._entries.close()  # type: ignore[attr-defined]


def test_a_sweep_over_a_half_read_directory(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry is listed, the rest is an error: no row goes, and the sweep is not called whole."""
    gone = bench.drive / "anon" / "latin1"
    shutil.rmtree(gone)
    real = os.scandir

    def half(path: Any) -> Any:
        name = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.fsdecode(path)
        return _HalfRead(real(path)) if name == str(bench.drive / "anon") else real(path)

    with monkeypatch.context() as failing, bench.task() as task:
        failing.setattr(library, "library", lambda: None)  # which asks the kernel itself
        failing.setattr(os, "scandir", half)
        with pytest.raises(IncompleteError, match="nothing was deleted"):
            Sweep(task, Pace(None, None, lambda: 0.0)).run()
        with pytest.raises((IncompleteError, DifferenceError)):
            Verification(task).run()
    with bench.task() as task:
        states = {row.key: row.state for row in rows_of(task) if row.bucket == "anon"}
        assert set(states.values()) == {RowState.PRESENT}
    bench.migrate()
    with bench.task() as task:
        states = {row.key: row.state for row in rows_of(task) if row.bucket == "anon"}
        assert states.pop("latin1") is RowState.TOMBSTONE
        assert set(states.values()) == {RowState.PRESENT}


def test_a_row_that_only_the_store_has_is_never_taken_for_a_departed_one(bench: Any) -> None:
    """`kv_only` wrote it, so no file is missing. Below the trust floor it proves nothing, and goes."""
    with bench.task() as task:
        rows = rows_of(task)
        born = replace(
            rows[0],
            key="born/in/kv",
            generation=task.owner.next_generation(),
            origin=RowOrigin.KV,
            fingerprint=NO_FILE,
        )
        task.owner.commit(Batch(puts=(put_of(born),)))
        start = task.owner.next_generation()
        assert departed.tombstone(task, start, set(), departed.NOTHING) == []
        floor = Generation(start.term + 1, 0)
        task.owner.commit(Batch(meta={"trust_floor": floor.pack()}))
    with bench.task() as task:
        start = task.owner.next_generation()
        assert task.owner.info().trust_floor == floor
        assert departed.tombstone(task, start, set(), departed.Accepted(everything=True)) == [
            ("anon", "born/in/kv")
        ]


def test_a_file_that_comes_back_while_its_row_is_buried(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof says "gone"; before the tombstone commits a server writes the object again and drains it."""
    bucket, key = "anon", "latin1"
    with bench.task() as task:
        row = next(row for row in rows_of(task) if (row.bucket, row.key) == (bucket, key))
        shutil.rmtree(bench.drive / bucket / key)
        real = departed.object_exists
        written: list[Outcome] = []

        def meanwhile(drive: str, place: Place) -> bool:
            found = real(drive, place)
            if not found and not written:
                again = replace(row.fingerprint, inode=row.fingerprint.inode + 1)
                new = replace(row, generation=task.owner.next_generation(), fingerprint=again)
                written.extend(task.owner.commit(Batch(puts=(put_of(new),))).outcomes)
            return found

        monkeypatch.setattr(departed, "object_exists", meanwhile)
        start = task.owner.next_generation()
        assert departed.tombstone(task, start, set(), departed.NOTHING) == []
        assert written == [Outcome.APPLIED]
        (now,) = task.owner.get_many([(bucket, key)])
        assert now is not None
        assert now.present


def test_the_marker_is_not_moved_by_a_zombie(bench: Any) -> None:
    with bench.task() as zombie:
        info = zombie.owner.info()
        theirs = Marker(MarkerState.DUAL_WRITE, info.store_uuid, 7, "another", "2026-11-23T00:00:00Z")
        marker.write(str(bench.drive), theirs)
        with pytest.raises(Exception, match="changed from"):
            hold(zombie)
    assert marker.read(str(bench.drive)) == theirs


def test_what_a_killed_restore_left_beside_format_json_goes_with_the_next_one(bench: Any) -> None:
    """Found by the sweep over all system calls, seed 7: a kill before the rename left its temporary file."""
    before = bench.files()
    bench.run(hold)
    (bench.drive / ".minio.sys" / ".format.json.0123456789abcdef.tmp").write_bytes(b"half")
    bench.run(restore)
    assert bench.files() == before
