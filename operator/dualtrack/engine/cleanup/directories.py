"""`cleanup directories`: remove the directories that are empty because of hold and purge.

Candidates are the directories of held files and the prefixes above them, never a bucket; each is removed by
`rmdir`, deepest first, so that nothing can go that still holds something. Mode, owner and time are put down
before the first of their entries goes. A directory with a data directory of its object is meant to stay;
whatever else keeps one is named and counted, and is no error.
"""

from __future__ import annotations

import os
from contextlib import suppress

from dualtrack.engine import files
from dualtrack.engine.cleanup import preconditions, records
from dualtrack.engine.cleanup.records import DirectoryRecord, HeldFile
from dualtrack.engine.listing import data_directories
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.naming import MetaName
from dualtrack.engine.rows import Row
from dualtrack.engine.task import Task
from dualtrack.errors import IncompleteError, MarkerError

CURSOR = "directories"


def remove_directories(task: Task) -> None:
    """Remove what is empty. Idempotent; goes on where an earlier run was cut off."""
    prepare(task)
    take(task)


def prepare(task: Task) -> None:
    """Everything that can refuse, before anything is changed; of a set this is asked of all drives first."""
    preconditions.require(task, "directories")
    if task.held_lock().state.state is not MarkerState.PURGED:
        raise MarkerError(
            f"the marker of {task.drive.path} is {task.held_lock().state.state}: directories go only after "
            "cleanup purge"
        )


def take(task: Task) -> None:
    """Remove them."""
    with task.recorded("cleanup directories", "dualtrack engine restore"):
        _remove(task)


def _remove(task: Task) -> None:
    after = (task.owner.cursor(CURSOR) or b"").decode() or None
    blocked: set[str] = set()
    for name, batch in records.held_batches(task.owner, after):
        task.checkpoint()
        preconditions.ask_owner(task)
        with task.owner.locked([held.place for held in batch]):
            _remove_batch(task, batch, blocked)
        task.commit(cursor=(CURSOR, name.encode()))
    task.commit(meta={"cursor/" + CURSOR: None})


def _remove_batch(task: Task, batch: list[HeldFile], blocked: set[str]) -> None:
    root = task.drive.path
    candidates = _candidates(root, batch)
    _put_down(task, candidates, batch)
    rows = dict(zip((held.directory for held in batch), _rows(task, batch), strict=True))
    touched: set[str] = set()
    # Longest first: what lies below a directory has a longer name than it.
    for path in sorted(candidates, key=len, reverse=True):
        if "/" not in path:
            continue  # a bucket stays, empty or not
        if path in rows:
            task.scanned += 1
        why = _blocked(root, path, rows.get(path), touched if task.dry_run else frozenset())
        if why is None:
            if task.room() == 0:
                raise IncompleteError(
                    f"removed {task.committed} directories, as many as --limit allows; run it again"
                )
            if task.dry_run or files.remove_directory(f"{root}/{path}"):
                task.committed += 1
                task.counts["removed"] += 1
                touched.add(path)
        elif why:
            # A prefix comes again with each of its batches, and is told once.
            if path not in blocked:
                blocked.add(path)
                task.counts["blocked"] += 1
                task.name(f"{path}: {why}")
        elif path in rows:
            task.counts["inUse"] += 1
    for parent in {os.path.dirname(path) for path in touched} - touched:
        if not task.dry_run:
            files.sync_remaining(f"{root}/{parent}")  # a data plane prunes, too


def _candidates(root: str, batch: list[HeldFile]) -> dict[str, os.stat_result]:
    """The directories of these objects and all above them, the bucket included, that are still there."""
    found: dict[str, os.stat_result] = {}
    for held in batch:
        path = held.directory
        while path and path not in found:
            with suppress(FileNotFoundError):
                found[path] = os.lstat(f"{root}/{path}")
            path = os.path.dirname(path)
    return found


def _put_down(task: Task, candidates: dict[str, os.stat_result], batch: list[HeldFile]) -> None:
    """Record each directory once, as it was before the first change: the hold's record is the older one."""
    before = {
        held.directory: DirectoryRecord(
            held.directory,
            held.directory_mode,
            held.directory_uid,
            held.directory_gid,
            held.directory_mtime_ns,
        )
        for held in batch
    }
    new = {
        record.name: record.pack()
        for path, status in candidates.items()
        if task.owner.meta(records.directory_name(path)) is None
        for record in [before.get(path) or DirectoryRecord.of(path, status)]
    }
    if new:
        task.commit(meta=dict(new))


def _rows(task: Task, batch: list[HeldFile]) -> list[Row | None]:
    return task.owner.get_many([held.place for held in batch])


def _blocked(root: str, path: str, row: Row | None, gone: frozenset[str] | set[str]) -> str | None:
    """None: empty. "": it holds what belongs there (data directories, other objects). Else what blocks it.

    `gone`: what a dry run would have removed by now.
    """
    own = {os.fsdecode(name) for name in data_directories(row.data)} if row is not None else set()
    in_use = False
    try:
        with os.scandir(f"{root}/{path}") as entries:
            for entry in entries:
                if f"{path}/{entry.name}" in gone:
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    if row is not None and row.name is MetaName.XL_JSON and entry.name.startswith("part."):
                        in_use = True  # content from before data directories
                        continue
                    return f"holds the file {entry.name}"
                in_use = True
                if entry.name not in own and row is not None and _holds_parts(entry.path):
                    return f"holds {entry.name}, a data directory that no version names"
    except FileNotFoundError:
        return ""
    return "" if in_use else None


def _holds_parts(path: str) -> bool:
    try:
        return any(name.startswith("part.") for name in os.listdir(path))
    except OSError:
        return True
