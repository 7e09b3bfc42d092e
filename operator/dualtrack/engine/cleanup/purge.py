"""`cleanup purge`: remove what `hold` moved aside. From here on the store is the only copy.

So there must be another one first: a snapshot outside the drive, newer than the last verification, opened
again and compared before the marker goes to `Purged` and before the first file goes. Only files that a hold
has put down are removed, each only while it is still that file and the store has a row that is no older.
Killed and started again, it goes on where it was.
"""

from __future__ import annotations

import os

from dualtrack.engine import devices, files
from dualtrack.engine import snapshot as snapshots
from dualtrack.engine.cleanup import preconditions, records, verification
from dualtrack.engine.cleanup.records import HeldFile
from dualtrack.engine.drive import HOLD_DIRECTORY
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.metafile import MetaFile, MetaReader
from dualtrack.engine.rows import Fingerprint, Row, RowState
from dualtrack.engine.stores.location import Driver, locate
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError, RefusedError

CURSOR = "purge"


def purge(task: Task, snapshot_dir: str | None, *, same_device: bool = False) -> None:
    """Remove every held file. `snapshot_dir` None makes one beside a store that lies outside its drive;
    `same_device`: it may lie on a disk of the drive, as somebody has said.
    """
    prepare(task, snapshot_dir, same_device=same_device)
    remove(task)


def prepare(task: Task, snapshot_dir: str | None, *, same_device: bool = False) -> None:
    """Everything that can refuse, the proof of the snapshot included; of a set asked of all drives first."""
    preconditions.require(task, "purge")
    if task.owner.meta(records.PENDING) is not None:
        raise RefusedError("a batch of files is half held: run cleanup hold to its end first")
    _require_snapshot(task, snapshot_dir, same_device)


def remove(task: Task) -> None:
    """Remove the files."""
    preconditions.raise_marker(task, MarkerState.PURGED)
    with task.recorded("cleanup purge", "dualtrack engine restore", snapshot=task.notes.get("snapshot", "")):
        _remove(task)


def _remove(task: Task) -> None:
    after = (task.owner.cursor(CURSOR) or b"").decode() or None
    # Target -> why its file stays. An object that came back from its hold and was held again has two records
    # of one target: the earlier one does not know the file, the later one does.
    objected: dict[str, str] = {}
    for name, batch in records.held_batches(task.owner, after):
        task.checkpoint()
        preconditions.ask_owner(task)
        _purge_batch(task, name, batch, objected)
    task.commit(meta={"cursor/" + CURSOR: None})
    _remove_folders(task)
    for target, why in objected.items():
        task.name(f"{target} {why}")
    if objected:
        task.counts["kept"] = len(objected)
        raise DifferenceError(
            f"{task.counts['kept']} held files were kept, because they or their rows are not what was put "
            f"down: {'; '.join(task.names)}"
        )


def _purge_batch(task: Task, name: str, batch: list[HeldFile], objected: dict[str, str]) -> None:
    root = task.drive.path
    folders: set[str] = set()
    rows = task.owner.get_many([held.place for held in batch])
    for held, row in zip(batch, rows, strict=True):
        task.scanned += 1
        status = _status(f"{root}/{held.target}")
        if status is None:
            task.counts["absent"] += 1
            continue
        if why := _objection(root, held, row, status):
            objected[held.target] = f"({held.bucket}/{held.key}): {why}"
            continue
        objected.pop(held.target, None)
        if task.room() == 0:
            raise IncompleteError(f"removed {task.committed} files, as many as --limit allows; run it again")
        task.committed += 1
        task.counts["purged"] += 1
        if not task.dry_run:
            files.unlink(f"{root}/{held.target}")
            folders.add(os.path.dirname(f"{root}/{held.target}"))
    for folder in folders:
        files.sync_directory(folder)
    # Never past an objection: a run that is cut off must meet it again, or nobody would hear of it.
    if not objected:
        task.commit(cursor=(CURSOR, name.encode()))


def _objection(root: str, held: HeldFile, row: Row | None, status: os.stat_result) -> str:
    if not held.is_file(Fingerprint.of(status)) and not _same_content(root, held):
        return "is not the file that was held"
    if row is None or row.generation < held.generation:
        return "the store has no row, or an older one"
    if row.state is RowState.FS_RESIDENT:
        return "its row says that it is read from the file system"
    return ""


def _same_content(root: str, held: HeldFile) -> bool:
    """A drive that was copied since has other inodes; then the bytes decide."""
    found = MetaReader().read(os.fsencode(f"{root}/{held.target}"))
    return isinstance(found, MetaFile) and records.content_digest(found.data) == held.digest


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _remove_folders(task: Task) -> None:
    """The empty folders of the hold; what nobody has put down stays and is counted."""
    root = f"{task.drive.path}/{HOLD_DIRECTORY}"
    if task.dry_run:
        return
    for parent, _, names in os.walk(root, topdown=False):
        task.counts["strangers"] += len(names)
        files.remove_directory(parent)
    files.sync_directory(os.path.dirname(root))


def _require_snapshot(task: Task, snapshot_dir: str | None, same_device: bool) -> None:
    verified = verification.require_clean(task)
    if snapshot_dir is None:
        if preconditions.store_is_inside(task):
            raise RefusedError(
                f"the store {task.store_dir} lies on its drive: name a verified snapshot outside it with "
                "--snapshot DIR (made by: dualtrack engine snapshot --to DIR)"
            )
        if locate(task.store_dir).driver is Driver.POSTGRESQL:
            raise RefusedError("name a verified snapshot of the database's rows with --snapshot DIR")
        snapshot_dir = task.store_dir.rstrip("/") + ".snapshot"
        _require_other_device(task, snapshot_dir, same_device)
        if not task.dry_run:  # which would make the snapshot first
            if not snapshots.is_recent(task, snapshot_dir, verified):
                snapshots.snapshot(task, snapshot_dir)
            snapshots.require(task, snapshot_dir, verified)
    elif snapshots.lies_on_drive(task, snapshot_dir):
        raise RefusedError(f"the snapshot {snapshot_dir} lies on the drive itself; make one outside it")
    else:
        snapshots.require(task, snapshot_dir, verified)
        _require_other_device(task, snapshot_dir, same_device)
    task.notes["snapshot"] = snapshot_dir


def _require_other_device(task: Task, snapshot_dir: str, accepted: bool) -> None:
    """After a purge store and snapshot are the only copies: one disk must not hold both."""
    common = devices.shared(task.drive.path, snapshot_dir)
    if not common:
        return
    disks = ", ".join(sorted(common))
    what = f"the snapshot {snapshot_dir} lies on {disks}, as the drive {task.drive.path} does"
    if not accepted:
        raise RefusedError(
            f"{what}: the loss of that disk would lose both copies of the metadata; make one on another "
            "(dualtrack engine snapshot --to DIR), or say --accept-same-device (in a "
            "MetadataMigration: spec.completing.snapshotDevice: Any)"
        )
    task.warn(what)
