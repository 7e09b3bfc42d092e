"""`cleanup hold`: move superfluous metadata files to `.dualtrack/hold/`, so that they can still be looked at.

Before the first of them every file is held against its row (`survey`). A batch is: judge each file against
its row, under the objects' stripe locks → write down which files will move (durable) → rename → flush both
directories → read each file at its new place → write down that they moved, with the cursor, in one
transaction. A crash leaves at most one batch half moved; the next run finishes it before anything else. What
may not go stays and is named, and the run then ends with `DifferenceError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

from dualtrack.engine import files
from dualtrack.engine.cleanup import identity, movable, preconditions, records, survey
from dualtrack.engine.cleanup.judge import Verdict, judge
from dualtrack.engine.cleanup.records import HeldFile
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.metafile import MetaFile, MetaReader, Unreadable
from dualtrack.engine.naming import META_FILE, MetaName
from dualtrack.engine.places import file_exists
from dualtrack.engine.rows import Row, RowOrigin, RowState, is_system
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError

BATCH = 256
CURSOR = "hold"


def hold(task: Task) -> None:
    """Hold every file that may go. Idempotent; goes on where an earlier run was cut off."""
    prepare(task)
    seal(task)
    take(task)


def prepare(task: Task) -> None:
    """Everything that can refuse, before anything is changed; of a set this is asked of all drives first."""
    preconditions.require(task, "hold")
    movable.require(task)
    survey.require_covered(task)


def seal(task: Task) -> None:
    """Make stock servers refuse the drive; of a set every drive, before the first file goes from any."""
    preconditions.raise_marker(task, MarkerState.KV_ONLY)
    identity.hold_identity(task)


def take(task: Task) -> None:
    """Move the files."""
    with task.recorded("cleanup hold", "dualtrack engine restore"):
        _take(task)


def _take(task: Task) -> None:
    _finish_pending(task)
    holding = _Holding(task)
    after = records.unpack_place(task.owner.cursor(CURSOR))
    task.total = sum(count for bucket, count in task.owner.stats().objects.items() if not is_system(bucket))
    while True:
        task.checkpoint()
        preconditions.ask_owner(task)
        rows = task.owner.scan(after, BATCH)
        if not rows:
            break
        # Before a batch: the one that an earlier run began may have been larger than this limit.
        if task.room() == 0:
            raise IncompleteError(f"held {task.committed} files, as many as --limit allows; run it again")
        after = holding.batch([row for row in rows if not is_system(row.bucket)], rows[-1])
    task.commit(meta={"cursor/" + CURSOR: None})
    if trouble := sum(task.counts[verdict] for verdict in Verdict if verdict.is_trouble):
        raise DifferenceError(
            f"{trouble} files stay because their rows do not make them superfluous: "
            f"{'; '.join(task.names)}; verify the drive and repair them"
        )


class _Holding:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._root = task.drive.path
        self._reader = MetaReader()
        self._epoch = task.epoch or task.owner.info().epoch
        self._trust_floor = task.owner.info().trust_floor
        self._cut_over_ns = preconditions.cut_over_ns(task)

    def batch(self, rows: Sequence[Row], last: Row) -> tuple[str, str]:
        """Hold what may go of these rows; answers the last place that is done with."""
        task = self._task
        places = [(row.bucket, row.key) for row in rows]
        done = (last.bucket, last.key)
        with task.owner.locked(places):
            moving: list[HeldFile] = []
            dirty = task.owner.dirty(places)
            # Read again: only under the lock do row and file belong together.
            for row in filter(None, task.owner.get_many(places)):
                if task.room() is not None and len(moving) >= (task.room() or 0):
                    break
                done = (row.bucket, row.key)
                task.scanned += 1
                if (held := self._judge(row, (row.bucket, row.key) in dirty)) is not None:
                    moving.append(held)
            else:
                done = (last.bucket, last.key)
            self._move(moving, done)
        return done

    def _judge(self, row: Row, dirty: bool) -> HeldFile | None:
        task = self._task
        directory = f"{self._root}/{os.path.dirname(row.path)}"
        file = self._file(row, os.fsencode(directory))
        verdict = judge(row, file, dirty=dirty, trust_floor=self._trust_floor, cut_over_ns=self._cut_over_ns)
        task.counts[verdict] += 1
        if verdict.is_trouble:
            task.name(f"{row.bucket}/{row.key}: {_reason(verdict, file)}")
        if not verdict.may_go or not isinstance(file, MetaFile):
            return None
        return self._record(row, file, os.lstat(directory))

    def _file(self, row: Row, directory: bytes) -> MetaFile | Unreadable | None:
        """The file that the row is of. An `xl.json` that comes to light once the `xl.meta` before it is held
        is no one's, and stays for the restore to hide again; a first hold has met it in the survey."""
        if row.present and row.origin is RowOrigin.FS and row.name is MetaName.XL_META:
            return self._reader.read(directory + b"/" + META_FILE.encode())
        return self._reader.read_object(directory)

    def _record(self, row: Row, file: MetaFile, directory: os.stat_result) -> HeldFile:
        return HeldFile(
            bucket=row.bucket,
            key=row.key,
            target=records.hold_target(self._root, self._epoch, row),
            digest=records.content_digest(file.data),
            inode=file.fingerprint.inode,
            size=file.fingerprint.size,
            mtime_ns=file.fingerprint.mtime_ns,
            mode=file.mode,
            uid=file.uid,
            gid=file.gid,
            directory_mode=directory.st_mode & 0o7777,
            directory_uid=directory.st_uid,
            directory_gid=directory.st_gid,
            directory_mtime_ns=directory.st_mtime_ns,
            term=row.generation.term,
            counter=row.generation.counter,
            name=int(file.name),
        )

    def _move(self, moving: list[HeldFile], done: tuple[str, str]) -> None:
        task = self._task
        cursor = (CURSOR, records.pack_place(done))
        if not moving:
            task.commit(cursor=cursor)
            return
        task.commit(meta={records.PENDING: records.pack_batch(moving)})
        if not task.dry_run:
            task.owner.require_locked()
            _move(self._root, moving)
        _settle(task, moving, self._epoch, cursor)


def _finish_pending(task: Task) -> None:
    """Bring the batch that an earlier run began to its end: each file is at one of its two places."""
    value = task.owner.meta(records.PENDING)
    if value is None or task.dry_run:
        return
    pending = records.unpack_batch(value)
    with task.owner.locked([held.place for held in pending]):
        task.checkpoint()
        task.counts["resumed"] += len(pending)
        cursor = (CURSOR, records.pack_place(pending[-1].place))
        epoch = int(pending[0].target.split("/")[2])
        if not (left := _without_deleted(task, pending)):
            task.commit(meta={records.PENDING: None}, cursor=cursor)
            return
        _move(task.drive.path, left)
        _settle(task, left, epoch, cursor)


def _without_deleted(task: Task, pending: list[HeldFile]) -> list[HeldFile]:
    """A data plane that deletes a bucket removes the files of objects that it had deleted before, also
    between a crash and this run: such a file is at neither place, and a later tombstone says why.
    """
    rows = task.owner.get_many([held.place for held in pending])
    return [
        held
        for held, row in zip(pending, rows, strict=True)
        if not (_is_deleted_since(row, held) and _is_nowhere(task.drive.path, held))
    ]


def _is_deleted_since(row: Row | None, held: HeldFile) -> bool:
    return (
        row is not None
        and row.state is RowState.TOMBSTONE
        and row.origin is RowOrigin.KV
        and row.generation > held.generation
    )


def _is_nowhere(root: str, held: HeldFile) -> bool:
    return not any(file_exists(os.fsencode(f"{root}/{path}")) for path in (held.source, held.target))


def _settle(task: Task, moved: list[HeldFile], epoch: int, cursor: tuple[str, bytes]) -> None:
    """Put down that these files are held, and how far the run has come."""
    task.commit(meta=records.put_down(task.owner, epoch, moved), cursor=cursor)
    task.committed += len(moved)
    task.counts["held"] += len(moved)


def _move(root: str, moving: Sequence[HeldFile]) -> None:
    reader = MetaReader()
    for folder in sorted({os.path.dirname(held.target) for held in moving}):
        files.ensure_directory(f"{root}/{folder}")
    for held in moving:
        source, target = f"{root}/{held.source}", f"{root}/{held.target}"
        found = reader.read(os.fsencode(source))
        # Not the file that was judged: it was moved before a crash, and what lies there now is another one.
        if isinstance(found, MetaFile) and held.is_file(found.fingerprint):
            files.rename_exclusive(source, target)
    _flush(root, moving)
    for held in moving:
        _check_moved(root, held, reader.read(os.fsencode(f"{root}/{held.target}")))


def _flush(root: str, moving: Iterable[HeldFile]) -> None:
    for folder in {os.path.dirname(held.target) for held in moving}:
        files.sync_directory(f"{root}/{folder}")
    for folder in {held.directory for held in moving}:
        # A data plane may have removed an object directory that was empty.
        files.sync_remaining(f"{root}/{folder}")


def _check_moved(root: str, held: HeldFile, found: MetaFile | Unreadable | None) -> None:
    if (
        isinstance(found, MetaFile)
        and held.is_file(found.fingerprint)
        and records.content_digest(found.data) == held.digest
    ):
        return
    what = "is not there" if found is None else "is another file"
    if found is not None:
        with suppress(FileExistsError):
            files.rename_exclusive(f"{root}/{held.target}", f"{root}/{held.source}")
            what += ", and was put back"
    raise DifferenceError(
        f"{held.bucket}/{held.key}: what was moved to {held.target} {what}: somebody else changes files on "
        "this drive; find out who, then verify and run this again"
    )


def _reason(verdict: Verdict, file: MetaFile | Unreadable | None) -> str:
    return f"{verdict} ({file.message})" if isinstance(file, Unreadable) else str(verdict)
