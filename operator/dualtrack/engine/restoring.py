"""A restore's page of objects: what each row makes of its file, and that done so that nothing is lost.

Under the stripe locks: where the file is absent, or older than its row, the row's bytes are staged, flushed
and put into place, and the row is then committed again as one that a file backs, so that sweeps may replace
it. An older file goes to `.dualtrack/undo/` first, and so does a file whose object was deleted in `kv_only`:
nothing comes back to life, and nothing is deleted. A file that is newer than its row is refused and named. So
is an object whose row is damaged: it stays as it is, and all others come back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from dualtrack.engine import files
from dualtrack.engine.cleanup import records
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.listing import data_directories
from dualtrack.engine.metafile import MetaFile, MetaReader, Unreadable
from dualtrack.engine.naming import MetaName
from dualtrack.engine.pairing import rows_of
from dualtrack.engine.put_back import Writer, kept_of_exchange
from dualtrack.engine.rows import Generation, Row, RowDraft, RowOrigin, RowState, is_system
from dualtrack.engine.stores.protocol import Place, Put
from dualtrack.engine.summary import summary
from dualtrack.engine.task import MAX_NAMES, Task
from dualtrack.errors import DifferenceError

UNDO_DIRECTORY = ".dualtrack/undo"


@dataclass(frozen=True, slots=True)
class _Older:
    """A file that the row has left behind."""

    row: Row
    file: MetaFile

    @property
    def place(self) -> Place:
        return self.row.bucket, self.row.key

    def is_file(self, found: MetaFile) -> bool:
        """Whether it is this very file: a second name, and a move, change its ctime and nothing else."""
        this, other = self.file.fingerprint, found.fingerprint
        return (this.inode, this.size, this.mtime_ns) == (other.inode, other.size, other.mtime_ns)


class Restoring:
    """A restore's batches, and what is told when the last one is done."""

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
            task.owner.require_locked()
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
        changed: list[Row] = []
        for older in undoing:
            row = older.row
            target = f"{self._root}/{records.aside(self._root, UNDO_DIRECTORY, self._epoch, row)}"
            files.ensure_directory(os.path.dirname(target))
            put = files.link if row.present else files.move_to_free
            try:
                put(_path(self._root, row), target)
            except FileNotFoundError:
                changed.append(row)
            else:
                kept[older.place] = target
        for folder in {os.path.dirname(target) for target in kept.values()}:
            files.sync_directory(folder)
        changed += [
            older.row
            for older in undoing
            if older.place in kept and not self._is_kept(older, kept[older.place])
        ]
        if changed:
            names = "; ".join(f"{row.bucket}/{row.key}" for row in changed[:MAX_NAMES])
            raise DifferenceError(
                f"{names}: changed since they were judged a moment ago; what somebody wrote there was left, "
                "or put back: find out who writes to this drive, then run this again"
            )
        return kept

    def _is_kept(self, older: _Older, target: str) -> bool:
        """Whether it is the file that was judged. Another one, which somebody has put in its place since,
        goes back there, or has stayed.
        """
        path = _path(self._root, older.row)
        found = self._reader.read(os.fsencode(target))
        same = isinstance(found, MetaFile) and older.is_file(found)
        if not older.row.present:
            if not same:
                with suppress(FileExistsError):
                    files.move_to_free(target, path)
            files.sync_remaining(os.path.dirname(path))
        return same

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


def _is_newer(row: Row, file: MetaFile) -> bool:
    """Whether somebody wrote the file after the row. In doubt it is."""
    if row.origin is RowOrigin.KV:
        return row.present and file.fingerprint.mtime_ns > row.mtime_ns
    return not row.present or file.fingerprint.ctime_ns >= row.fingerprint.ctime_ns


def _path(root: str, row: Row) -> str:
    return f"{root}/{row.path}"
