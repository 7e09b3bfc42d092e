"""`restore`: the way back from a drive whose metadata is in the store to one that stock servers can serve.

Always from the store; a held file is never looked at. For each object, under its stripe lock: where the file
is absent, or older than its row, the row's bytes are staged, flushed and renamed into place, and the row is
then committed again as one that a file backs, so that sweeps may replace it. An older file goes to
`.dualtrack/undo/` first, and so does a file whose object was deleted in `kv_only`: nothing comes back to
life, and nothing is deleted. A file that is newer than its row is refused and named. So is an object whose
row is damaged: it stays as it is, all others come back, and the drive stays refused until it is mended.

Then every row is compared with its file once more, read from the device. Only if all are equal do the times
of directories, `format.json` and, where no server runs, the marker go back. Killed anywhere and started
again, it goes over all rows again, and what is equal already costs a read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from dualtrack.engine import files
from dualtrack.engine.authority import require_epoch
from dualtrack.engine.cleanup import identity, records, verification
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.listing import data_directories
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.metafile import MetaFile, MetaReader, Unreadable
from dualtrack.engine.mode import Engine
from dualtrack.engine.naming import MetaName
from dualtrack.engine.pairing import rows_of
from dualtrack.engine.put_back import Writer, kept_of_exchange
from dualtrack.engine.rows import Generation, Row, RowDraft, RowOrigin, RowState, is_system
from dualtrack.engine.stores import keys
from dualtrack.engine.stores.protocol import Place, Put
from dualtrack.engine.summary import summary
from dualtrack.engine.task import MAX_NAMES, Task
from dualtrack.errors import DifferenceError, MarkerError, OwnerError, StoreCorruptError

BATCH = 128
UNDO_DIRECTORY = ".dualtrack/undo"


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
    restoring = _Restoring(task)
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


@dataclass(frozen=True, slots=True)
class _Older:
    """A file that the row has left behind."""

    row: Row
    file: MetaFile

    def is_file(self, found: MetaFile) -> bool:
        """Whether it is this very file: a second name, and a move, change its ctime and nothing else."""
        this, other = self.file.fingerprint, found.fingerprint
        return (this.inode, this.size, this.mtime_ns) == (other.inode, other.size, other.mtime_ns)


class _Restoring:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._root = task.drive.path
        self._reader = MetaReader()
        self._writer = Writer(self._root, task.owner)
        if not task.dry_run and (kept := self._writer.discard_staged()):
            task.warn(kept_of_exchange(kept))
        self._epoch = task.epoch or task.owner.info().epoch
        self.refused = 0
        self.damaged = 0
        self.first_damaged: list[str] = []

    def batch(self, places: Sequence[Place]) -> None:
        task = self._task
        with task.owner.locked(places):
            generation = task.owner.next_generation()
            rows = self._sound(places)
            found = [self._read(row) for row in rows]
            task.scanned += len(rows)
            writing: list[Row] = []
            undoing: list[_Older] = []
            settled: list[Row] = []
            for row, file in zip(rows, found, strict=True):
                self._decide(row, file, writing, undoing, settled)
            if task.dry_run:
                return
            kept = self._put_aside(undoing)
            staged = self._writer.stage(writing)
            for each in staged:
                if each.place in kept:
                    self._writer.replace(each, kept[each.place])
            self._writer.place([each for each in staged if each.place not in kept], over=False)
            backed = [row for row in (*writing, *settled) if row.state is not RowState.FS_RESIDENT]
            puts = tuple(self._settled(row, generation) for row in backed)
            if puts:
                task.commit(puts)
            task.committed += len(writing)

    def _sound(self, places: Sequence[Place]) -> list[Row]:
        """The rows that prove themselves; a damaged one is named, and nothing of its object is touched."""
        rows: list[Row] = []
        for place, row in zip(places, rows_of(self._task.owner, places), strict=True):
            if isinstance(row, str):
                self._task.scanned += 1
                self._task.counts["damaged"] += 1
                self._task.name(f"{'/'.join(place)}: its row is damaged")
                self.damaged += 1
                if len(self.first_damaged) < MAX_NAMES:
                    self.first_damaged.append("/".join(place))
            elif row is not None:
                rows.append(row)
        return rows

    def _read(self, row: Row) -> MetaFile | Unreadable | None:
        path = os.fsencode(_path(self._root, row))
        if row.present and row.name is MetaName.XL_META:
            return self._reader.read(path)  # which hides an xl.json
        found = self._reader.read_object(os.path.dirname(path))
        if isinstance(found, MetaFile) and found.name is not row.name:
            why = f"lies as {found.name.file}, and its row is of an {row.name.file}"
            return Unreadable("name", why, False)
        return found

    def _decide(
        self,
        row: Row,
        file: MetaFile | Unreadable | None,
        writing: list[Row],
        undoing: list[_Older],
        settled: list[Row],
    ) -> None:
        counts = self._task.counts
        if row.state is RowState.FS_RESIDENT and file is None and row.data:
            counts["restored"] += 1  # as the sweep met it, readable or not
            writing.append(row)
        elif row.state is RowState.FS_RESIDENT:
            counts["resident" if file is not None else "residentMissing"] += 1
            if file is None:
                self._task.name(f"{row.bucket}/{row.key} is lost: read from its file, which is gone")
        elif file is None:
            if row.present:
                counts["restored"] += 1
                writing.append(row)
            elif row.origin is RowOrigin.KV:
                settled.append(row)
        elif isinstance(file, MetaFile) and row.present and file.data == row.data:
            counts["equal"] += 1
            self._count_orphans(row)
            if row.origin is RowOrigin.KV:
                settled.append(row)
        elif is_system(row.bucket):
            counts["systemKept"] += 1  # every data plane writes these to their files; rows are a backup
        elif isinstance(file, Unreadable) or _is_newer(row, file):
            self.refused += 1
            counts["refused"] += 1
            why = file.message if isinstance(file, Unreadable) else "its file is newer than its row"
            self._task.name(f"{row.bucket}/{row.key}: {why}")
        elif row.present:
            counts["replaced"] += 1
            undoing.append(_Older(row, file))
            writing.append(row)
        else:
            counts["undone"] += 1
            undoing.append(_Older(row, file))
            settled.append(row)

    def _put_aside(self, undoing: list[_Older]) -> dict[Place, str]:
        """Keep each file under `undo/`, durably: by a second name where its object is replaced, which is done
        later, and by a move where the object is deleted. Answers where it lies, by the object's place.
        """
        kept: dict[Place, str] = {}
        for older in undoing:
            row = older.row
            target = f"{self._root}/{records.aside(self._root, UNDO_DIRECTORY, self._epoch, row)}"
            files.ensure_directory(os.path.dirname(target))
            put = files.link if row.present else files.move_to_free
            try:
                put(_path(self._root, row), target)
            except FileNotFoundError as error:
                raise _changed(row, "is gone") from error
            kept[row.bucket, row.key] = target
        for folder in {os.path.dirname(target) for target in kept.values()}:
            files.sync_directory(folder)
        for older in undoing:
            self._check_kept(older, kept[older.row.bucket, older.row.key])
        return kept

    def _check_kept(self, older: _Older, target: str) -> None:
        """Somebody may have put another file in its place since it was judged: it goes back, or stays."""
        path = _path(self._root, older.row)
        found = self._reader.read(os.fsencode(target))
        same = isinstance(found, MetaFile) and older.is_file(found)
        if not older.row.present:
            if not same:
                with suppress(FileExistsError):
                    files.move_to_free(target, path)
            files.sync_directory(os.path.dirname(path))
        if not same:
            raise _changed(older.row, "is another one")

    def _settled(self, row: Row, generation: Generation) -> Put:
        """The row as one that the file system backs again: later sweeps may replace it."""
        if not row.present:
            return Put(Row.tombstone(row.bucket, row.key, generation), b"", "any", 0)
        file = self._read(row)
        if not isinstance(file, MetaFile):
            raise DifferenceError(f"{row.bucket}/{row.key}: the file that was just written cannot be read")
        self._count_orphans(row)
        meta = xlmeta.decode(row.data)
        draft = RowDraft(
            file.fingerprint,
            file.mode,
            file.uid,
            file.gid,
            file.fingerprint.mtime_ns,
            row.data,
            b"" if is_system(row.bucket) else summary(meta).pack(),
            versions=len(meta.versions),
            name=row.name,
        )
        return Put(Row.of(row.bucket, row.key, generation, draft), draft.summary, "any", draft.versions)

    def _count_orphans(self, row: Row) -> None:
        """Data directories that no version names stay: the collection of orphans is not ours."""
        own = {os.fsdecode(name) for name in data_directories(row.data)}
        directory = os.path.dirname(_path(self._root, row))
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name in own or not entry.is_dir(follow_symlinks=False):
                    continue
                if os.path.lexists(f"{entry.path}/part.1"):
                    self._task.counts["orphanDirectories"] += 1


def _changed(row: Row, how: str) -> DifferenceError:
    return DifferenceError(
        f"{row.bucket}/{row.key}: its file {how} since it was judged a moment ago, and nothing of it was "
        "removed: find out who writes to this drive, then run this again"
    )


def _is_newer(row: Row, file: MetaFile) -> bool:
    """Whether somebody wrote the file after the row. In doubt it is."""
    if row.origin is RowOrigin.KV:
        return row.present and file.fingerprint.mtime_ns > row.mtime_ns
    return not row.present or file.fingerprint.ctime_ns >= row.fingerprint.ctime_ns


def _verify(task: Task, places: Sequence[Place]) -> None:
    """Row against file, under the stripe locks, the file read from the device."""
    if task.dry_run:
        return
    reader = MetaReader()
    with task.owner.locked(places):
        for row in task.owner.get_many(places):
            if row is None or row.state is RowState.FS_RESIDENT:
                continue
            path = os.fsencode(_path(task.drive.path, row))
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


def _path(root: str, row: Row) -> str:
    return f"{root}/{row.path}"
