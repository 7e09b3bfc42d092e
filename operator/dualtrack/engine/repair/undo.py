"""`repair undo RUN`: give each object back what the run took from it, file and row.

Only where both are still what the repair left: whatever was written since stays, and is named. The file goes
back first and the row after it, in one transaction with the record that is then used up; so a run that was
cut off goes on where it was, and a second one finds nothing to do. What an undo replaces it keeps, too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from dualtrack.engine import files
from dualtrack.engine.authority import require_files_lead
from dualtrack.engine.cleanup import preconditions
from dualtrack.engine.listing import DirectoryReader, Found, Problem
from dualtrack.engine.places import file_exists, object_path
from dualtrack.engine.repair import records
from dualtrack.engine.repair.apply import BATCH
from dualtrack.engine.repair.records import Audit, Repaired
from dualtrack.engine.repair.strategies import Action, Strategy
from dualtrack.engine.rows import NO_FILE, Row, RowState
from dualtrack.engine.stores.protocol import Outcome, Put
from dualtrack.engine.task import Task
from dualtrack.engine.verify import usable_owner
from dualtrack.errors import DifferenceError, IncompleteError, RefusedError, UsageError


class _Way(Enum):
    """What has become of an object since it was repaired."""

    AS_LEFT = "as the repair left it"
    NOT_BEGUN = "its row is as it was before the repair"
    CHANGED = "it was changed since"


def undo(task: Task, run_id: str) -> None:
    """Take a run back. `DifferenceError` names what was changed since and therefore stays."""
    audit = _named(task, run_id)
    records.require_free(task.owner, Audit(task.fence, task.run_id, f"undo {audit.run_id}", "", 0))
    _require(task, Strategy(audit.verb.removeprefix("repair ")))
    pending = records.repaired(task.owner, audit.fence)
    task.total = len(pending)
    kept = f"what it replaced lies in {records.folder(task.drive.path, audit.fence)}/*.replaced"
    with task.recorded("repair undo", kept, undone=run_id):
        _undo(task, audit, pending)


def _named(task: Task, name: str) -> Audit:
    """The repair of this run id, or of `ID@FENCE` where several had it. One that was taken back whole is only
    meant where no other is left."""
    repairs = [each for each in records.audits(task.owner) if each.verb.startswith("repair ")]
    found = [each for each in repairs if name in (each.run_id, f"{each.run_id}@{each.fence}")]
    if not found:
        raise UsageError(f"there is no repair with the run id {name} in this store's records")
    if len(left := [each for each in found if each.state != "undone"]) > 1:
        told = "; ".join(f"{each.run_id}@{each.fence} ({each.verb}, {each.began})" for each in left)
        raise UsageError(
            f"{len(left)} repairs have the run id {name}: {told}; nothing was changed: say which, as "
            f"{left[-1].run_id}@{left[-1].fence}"
        )
    return (left or found)[-1]


def _undo(task: Task, audit: Audit, pending: Sequence[Repaired]) -> None:
    undoing = _Undoing(task)
    for start in range(0, len(pending), BATCH):
        task.checkpoint()
        undoing.batch(pending[start : start + BATCH])
    now = task.now().isoformat(timespec="seconds")
    done = Audit(task.fence, task.run_id, f"undo {audit.run_id}", now, task.committed, "done", now)
    meta: dict[str, bytes | None] = {done.meta_name: done.pack()}
    if not (left := task.counts["left"]):
        meta[audit.meta_name] = replace(audit, state="undone").pack()
    task.commit(meta=meta)
    if left:
        raise DifferenceError(f"{left} objects were left as they are: {'; '.join(task.names[:3])}")


def _require(task: Task, strategy: Strategy) -> None:
    usable_owner(task)
    if strategy is not Strategy.USE_KV:
        # Past the cut-over an undo would put an old row where only rows are read.
        require_files_lead(task, f"repair undo of {strategy}")
    if not strategy.changes_files:
        return
    if not task.client_only and not task.server_stopped:
        raise RefusedError(
            f"undoing {strategy} changes files that a running server may be writing: say --server-stopped "
            "once no server runs on the drive, or run it beside a data plane that owns the store"
        )
    if strategy is Strategy.USE_KV:
        preconditions.ask_owner(task)


class _Undoing:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._root = task.drive.path
        self._reader = DirectoryReader(task.drive.path)

    def batch(self, found: Sequence[Repaired]) -> None:
        task = self._task
        places = [record.place for record in found]
        with task.owner.locked(places):
            dirty = task.owner.dirty(places)
            puts: list[Put] = []
            meta: dict[str, bytes | None] = {}
            for record, row in zip(found, task.owner.get_many(places), strict=True):
                task.scanned += 1
                file = self._reader.read(object_path(*record.place))
                way = _Way.CHANGED if record.place in dirty else _way(self._root, record, row, file)
                if way is _Way.CHANGED:
                    task.counts["left"] += 1
                    task.name(f"{record.bucket}/{record.key}: {way.value}")
                    continue
                if not task.dry_run:
                    task.owner.require_locked()
                    self._give_file_back(record, file)
                if way is _Way.AS_LEFT:
                    puts.append(self._row_before(record))
                meta[record.meta_name] = None
            for put, outcome in zip(puts, task.commit(tuple(puts), meta), strict=False):
                if outcome not in (Outcome.APPLIED, Outcome.SAME):
                    raise IncompleteError(f"{put.row.bucket}/{put.row.key}: {outcome.name}; undo again")
            task.committed += len(meta)
            task.counts["undone"] += len(meta)

    def _give_file_back(self, record: Repaired, file: Found | Problem | None) -> None:
        """Whichever of the repair's steps was the last before a crash, what was kept says what to do."""
        path = f"{self._root}/{record.path}"
        kept = record.kept(self._root, "meta")
        if record.action == Action.HOLD_FILE:
            if file is None and file_exists(os.fsencode(kept)):
                files.ensure_directory(os.path.dirname(path))
                files.rename_exclusive(kept, path)
                self._flush(path, kept)
        elif record.action == Action.WRITE_FILE and _digest(file) == record.file_after != record.file_before:
            replaced = record.kept(self._root, "replaced")
            if not file_exists(os.fsencode(kept)):
                files.rename_exclusive(path, replaced)
            else:
                # A second name first, then a rename over the first: the object is never without a file.
                if not file_exists(os.fsencode(replaced)):
                    files.link(path, replaced)
                files.rename(kept, path)
            self._flush(path, kept)

    def _flush(self, *paths: str) -> None:
        for path in paths:
            files.sync_directory(os.path.dirname(path))

    def _row_before(self, record: Repaired) -> Put:
        generation = self._task.owner.next_generation()
        if record.had_row:
            row = replace(records.read_row(self._root, record), generation=generation)
            return Put(row, bytes.fromhex(record.summary), "any", record.versions)
        # There was none, and a row is never removed: this one says what none says, "read the file".
        if record.file_before:
            row = Row.tombstone(*record.place, generation)
            return Put(replace(row, state=RowState.FS_RESIDENT, fingerprint=NO_FILE), b"", "any", 0)
        return Put(Row.tombstone(*record.place, generation), b"", "any", 0)


def _way(drive: str, record: Repaired, row: Row | None, file: Found | Problem | None) -> _Way:
    digest = _digest(file)
    if digest not in (record.file_after, record.file_before):
        return _Way.CHANGED
    if row is not None and (
        row.generation == record.generation or records.row_digest(row) == record.row_after
    ):
        return _Way.AS_LEFT
    return _Way.NOT_BEGUN if _is_before(drive, record, row) else _Way.CHANGED


def _is_before(drive: str, record: Repaired, row: Row | None) -> bool:
    """Whether the row is the one that the repair found: it was cut off before its commit."""
    if not record.had_row:
        return row is None or row.generation < record.generation
    return row is not None and row.same_content(records.read_row(drive, record))


def _digest(file: Found | Problem | None) -> str:
    if file is None:
        return ""
    return records.file_digest(file) if isinstance(file, Found) else "unreadable"
