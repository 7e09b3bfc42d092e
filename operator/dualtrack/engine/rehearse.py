"""`rehearse`: restore a sample of rows into a folder of their own, before anybody depends on a restore.

The sample is drawn by a keyed hash, so that another run (another key) tries other rows; at least
`SAMPLE` rows, or all. Each is written by the same code as a restore, read back from the device, decoded, and
compared with its row; and with the real file, where that is still there and its row has not changed
meanwhile. The folder goes at the end, and at the start whatever an earlier run has left of it.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence

import xxhash

from dualtrack.engine import files
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.marker import CONTROL
from dualtrack.engine.metafile import MetaFile, MetaReader
from dualtrack.engine.put_back import Writer
from dualtrack.engine.rows import Row, RowOrigin
from dualtrack.engine.snapshot import pages
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, FormatError

SAMPLE = 100
FOLDER = f"{CONTROL}/rehearsal"
BATCH = 64


def rehearse(task: Task, sample: int = SAMPLE) -> None:
    """`DifferenceError` naming the rows that would not come back as they were."""
    root = task.drive.path
    _remove_tree(f"{root}/{FOLDER}")
    places = _draw(task, sample)
    try:
        for start in range(0, len(places), BATCH):
            task.checkpoint()
            _try(task, places[start : start + BATCH])
    finally:
        _remove_tree(f"{root}/{FOLDER}")
    if wrong := task.counts["different"]:
        raise DifferenceError(f"{wrong} rows did not come back as they were: {'; '.join(task.names)}")


def _draw(task: Task, sample: int) -> list[Place]:
    """The rows with the smallest keyed hashes: any row is as likely as another, and memory is bounded."""
    seed = xxhash.xxh3_64_intdigest(f"{task.run_id}/{task.fence}".encode())
    smallest: list[tuple[int, Place]] = []
    for rows in pages(task):
        for row in rows:
            if not row.present:
                continue
            name = os.fsencode(row.bucket) + b"\0" + os.fsencode(row.key)
            item = (-xxhash.xxh3_64_intdigest(name, seed), (row.bucket, row.key))
            if len(smallest) < sample:
                heapq.heappush(smallest, item)
            else:
                heapq.heappushpop(smallest, item)
        task.counts["rows"] += len(rows)
    return sorted(place for _, place in smallest)


def _try(task: Task, places: Sequence[Place]) -> None:
    root = task.drive.path
    if task.dry_run:
        task.counts["drawn"] += len(places)
        return
    rows = [row for row in task.owner.get_many(places) if row is not None and row.present]
    writer = Writer(root)
    writer.place(writer.stage(rows), below=f"{FOLDER}/")
    reader = MetaReader()
    for row in rows:
        path = os.fsencode(f"{root}/{FOLDER}/{row.path}")
        files.drop_cached(path)
        task.scanned += 1
        task.committed += 1
        task.counts["rehearsed"] += 1
        if (why := _difference(row, reader.read(path))) or (why := _compare_real(task, row, reader)):
            task.counts["different"] += 1
            task.name(f"{row.bucket}/{row.key}: {why}")


def _difference(row: Row, found: object) -> str:
    if not isinstance(found, MetaFile):
        return "the restored file cannot be read"
    if (found.data, found.mode, found.uid, found.gid, found.fingerprint.mtime_ns) != (
        row.data,
        row.mode,
        row.uid,
        row.gid,
        row.mtime_ns,
    ):
        return "the restored file is not what its row says"
    try:
        xlmeta.decode(found.data)
    except FormatError as error:
        return f"the restored file cannot be decoded: {error}"
    return ""


def _compare_real(task: Task, row: Row, reader: MetaReader) -> str:
    """Only where row and file still belong together: a server may be writing."""
    if row.origin is not RowOrigin.FS:
        return ""
    place = (row.bucket, row.key)
    with task.owner.locked([place]):
        file = reader.read(os.fsencode(f"{task.drive.path}/{row.path}"))
        now = task.owner.get_many([place])[0]
        if not isinstance(file, MetaFile) or task.owner.dirty([place]):
            return ""
    if now is None or now.generation != row.generation:
        return ""
    task.counts["comparedWithFile"] += 1
    return "" if file.data == row.data else "its file on the drive differs from its row"


def _remove_tree(path: str) -> None:
    """The folder of the rehearsal, file by file; it holds copies only."""
    for parent, _, names in os.walk(path, topdown=False):
        for name in names:
            files.unlink(f"{parent}/{name}", missing_ok=True)
        files.remove_directory(parent)
