"""`restore`: the way back from a drive whose metadata is in the store to one that stock servers can serve.

Always from the store; a held file is never looked at. Each object's file is written from its row, a page of
objects at a time (`restoring.py`). Then every row is compared with its file once more, read from the device.
Only if all are equal do the times of directories, `format.json` and, where no server runs, the marker go
back. A file that was refused, or a row that is damaged, stops none of the others, and keeps the drive closed.
Killed anywhere and started again, it goes over all rows again, and what is equal already costs a read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from dualtrack.engine import files
from dualtrack.engine.authority import require_epoch
from dualtrack.engine.cleanup import identity, records, verification
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.metafile import MetaFile, MetaReader
from dualtrack.engine.mode import Engine
from dualtrack.engine.restoring import UNDO_DIRECTORY, Restoring
from dualtrack.engine.rows import RowState, is_system
from dualtrack.engine.stores import keys
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, MarkerError, OwnerError, StoreCorruptError

BATCH = 128


def restore(task: Task) -> None:
    """Rebuild every file from its row, and give the drive back. Idempotent."""
    rebuild(task)
    give_back(task)


def rebuild(task: Task) -> None:
    """Every file as its row says, compared; the drive stays refused by stock servers."""
    if not _require(task):
        return
    undo = f"dualtrack engine cleanup hold; what it replaced is kept below {UNDO_DIRECTORY}/"
    with task.recorded("restore", undo):
        _rebuild(task)


def _rebuild(task: Task) -> None:
    task.total = sum(task.owner.stats().objects.values())
    restoring = Restoring(task)
    for places in _batches(task):
        restoring.batch(places)
    if lost := task.counts["residentMissing"]:
        task.warn(f"{lost} objects are lost: their files are gone, and no row has their bytes")
    if restoring.damaged:
        raise StoreCorruptError(
            f"{restoring.damaged} rows of {task.store_dir} are damaged, and their objects were left as they "
            f"are: {'; '.join(restoring.first_damaged)}; beside them {restoring.refused} files were refused; "
            "the drive stays closed to other servers. scrub names all damage, restore-store makes the store "
            "anew from a snapshot and the row log; then run this again"
        )
    if restoring.refused:
        raise DifferenceError(
            f"{restoring.refused} files are newer than their rows or cannot be read and were left: "
            f"{'; '.join(task.names)}; decide which is right, then run this again: repair --strategy use-kv "
            "--object NAME moves the file aside, with no server"
        )
    for places in _batches(task):
        _verify(task, places)
    _restore_times(task)


def give_back(task: Task) -> None:
    """Let stock servers have the drive again; of a set only after the files of all drives are rebuilt."""
    if not task.held_lock().state.state.reached(MarkerState.KV_ONLY):
        return
    task.checkpoint()
    identity.give_identity_back(task)
    _finish(task)


def _require(task: Task) -> bool:
    """Whether there is anything to restore; refused where the files may be the truth, or become it again."""
    state = task.held_lock().state
    if not state.state.reached(MarkerState.KV_ONLY):
        if task.drive.held:
            raise MarkerError(
                f"{task.drive.path} is held by its format.json, but its marker is {state.state}: find out "
                "what has happened to the marker before anything is changed"
            )
        task.notes["message"] = f"nothing to restore: the marker is {state.state}, files are the truth"
        return False
    if not task.client_only:
        return True
    found = task.owner.info()
    if found.engine != Engine.KV_PRIMARY or found.fallback:
        raise OwnerError(
            f"the data plane says engine {found.engine or 'none'}, fallback {str(found.fallback).lower()}: a "
            "restore beside it needs kv_primary without fallback, where each write leaves a file, too"
        )
    require_epoch(task, found)
    return True


def _batches(task: Task) -> Iterator[list[Place]]:
    """The places of all rows. Their rows are read under their locks, one by one where one is damaged: a page
    of verified rows would be none at all where a single one of them is.
    """
    after: Place | None = None
    while True:
        task.checkpoint()
        places = [keys.split_full(full) for full, _ in task.owner.scan_packed(after, BATCH)]
        if not places:
            return
        yield places
        after = places[-1]


def _verify(task: Task, places: Sequence[Place]) -> None:
    """Row against file, under the stripe locks, the file read from the device."""
    if task.dry_run:
        return
    reader = MetaReader()
    with task.owner.locked(places):
        for row in task.owner.get_many(places):
            if row is None or row.state is RowState.FS_RESIDENT:
                continue
            path = os.fsencode(f"{task.drive.path}/{row.path}")
            files.drop_cached(path)
            found = reader.read(path)
            task.counts["verified"] += 1
            if row.present:
                equal = isinstance(found, MetaFile) and found.data == row.data
                equal = equal or (is_system(row.bucket) and found is not None)
            else:
                equal = found is None or is_system(row.bucket)
            if not equal:
                raise DifferenceError(
                    f"{row.bucket}/{row.key}: after the restore its file differs from its row; nothing was "
                    "opened to other servers: find out who changes files, then run this again"
                )


def _restore_times(task: Task) -> None:
    """Times of the directories that cleanup changed or removed, now that nothing changes in them any more."""
    if task.dry_run:
        return
    root = task.drive.path
    for record in records.directory_records(task.owner):
        _set_time(f"{root}/{record.path}", record.mtime_ns)
    for _, batch in records.held_batches(task.owner):
        task.checkpoint()
        for held in batch:
            _set_time(f"{root}/{held.directory}", held.directory_mtime_ns)
    files.sync_file_system(root)


def _set_time(path: str, mtime_ns: int) -> None:
    try:
        os.utime(path, ns=(os.stat(path).st_atime_ns, mtime_ns), follow_symlinks=False)
    except FileNotFoundError:
        return  # of an object that was deleted since


def _finish(task: Task) -> None:
    """The records of this cleanup are used up, and the verification it was built on is out of date."""
    if task.dry_run:
        return
    names = [record.name for record in records.directory_records(task.owner)]
    for start in range(0, len(names), 1000):
        task.commit(meta=dict.fromkeys(names[start : start + 1000]))
    used_up: dict[str, bytes | None] = {verification.ACCEPTED: None, verification.RECORD: None}
    task.commit(meta=used_up | records.forgotten(task.owner))
    if not task.client_only:
        lower_marker(task, task.now())


def lower_marker(task: Task, now: datetime) -> None:
    """The reverse step is verified: files are the truth again."""
    lock = task.held_lock()
    lock.move_marker(
        lock.state.moved(
            MarkerState.FS_AUTHORITATIVE,
            store_uuid=lock.state.store_uuid,
            epoch=lock.state.epoch,
            migration_uid=lock.state.migration_uid,
            now=now.astimezone(UTC),
        )
    )
