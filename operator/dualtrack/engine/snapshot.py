"""`snapshot`: a second copy of the whole store, elsewhere, proved to be one before anybody relies on it.

Rows and meta values are read from the owner, who may be serving meanwhile, and written to a new store in
`DIR.tmp`. The owner's rows are then read again from the start, until a pass finds nothing that was committed
before the copy began and is missing or different in it (a writer may have held an older generation while the
first pass went by). What writers commit after the stated generation may be in the copy or not; the count
`newer` says how many rows that are. Without any, the copy's digest and the owner's must be the same.

The copy is closed, opened again and read whole, every envelope checked, and only then renamed to `DIR`. A
snapshot has the store's UUID and drive id, so that `restore --store DIR` takes it in place of a lost store.

Where the store has a row log, the copy notes where in it it begins and ends (`rowlog/`), and the log's
segments before that are removed once the copy is in its place. A copy itself never has a log: whoever opened
it as a store would write into the log of another one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime

from dualtrack.engine import files
from dualtrack.engine.cleanup.verification import Verified
from dualtrack.engine.digests import Digest
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.rowlog.keeper import BASE
from dualtrack.engine.rowlog.records import Position
from dualtrack.engine.rows import Generation, Row, is_system
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch, Place, Put
from dualtrack.engine.stores.recording import POSITION
from dualtrack.engine.summary import summary
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError, RefusedError, StoreLockedError

RECORD = "snapshot"
PAGE = 2_000
_PASSES = 5
_PARTS = ("data.mdb", "lock.mdb", "owner.sock", "owner.lock")
"""The last two are what an owner leaves, such as a restore that takes a snapshot in a lost store's place."""
# The store counts these itself, or writes them when it is created; term and position in the log come last
# (see `_copy_meta`).
_OWN_META = ("count/", "children", "entries", "schema", "drive_id", "term", "rowlog")


@dataclass(frozen=True, slots=True)
class Record:
    """What the store remembers of its last snapshot. `generation`: every row up to it is in the copy."""

    path: str
    digest: str
    count: int
    generation: tuple[int, int]
    time: str


def snapshot(task: Task, directory: str) -> Record:
    """Copy the store to `directory`, replacing an older snapshot there only once the new one is verified."""
    directory = place(directory)
    task.drive.refuse_among_buckets(directory, "--to")
    _refuse_foreign(task, directory)
    if not task.dry_run:
        task.owner.log.rotate()
    begun = Position.of(task.owner.meta(POSITION))
    stated = task.owner.next_generation()
    time = task.now().isoformat()
    temporary = directory + ".tmp"
    _clear(temporary)
    with _opened(temporary, task) as copy:
        _copy(task, copy, stated)
        _copy_meta(task, copy, begun)
    digest, newer = _verify_copy(task, temporary, stated)
    files.sync_directory(temporary)
    if task.dry_run:
        _clear(temporary)
        task.counts.update(rows=digest.count, newer=newer)
        task.notes["message"] = f"{directory} could be written: {digest.count} rows"
        return Record(directory, str(digest), digest.count, (stated.term, stated.counter), time)
    record = Record(directory, str(digest), digest.count, (stated.term, stated.counter), time)
    with task.recorded("snapshot", "none: the copy that it replaces is older", directory=directory):
        _swap(temporary, directory)
        base = json.dumps([begun.log, begun.seq]).encode() if begun is not None else None
        task.commit(meta={RECORD: json.dumps(asdict(record)).encode(), BASE: base})
        if removed := task.owner.log.prune():
            task.counts["logSegmentsRemoved"] = removed
    task.counts.update(rows=digest.count, newer=newer)
    task.notes |= {"digest": str(digest), "snapshot": directory, "generation": list(record.generation)}
    return record


def place(directory: str) -> str:
    """Where the copy itself lies. A mount cannot be renamed, so there it gets a directory below."""
    path = os.path.abspath(directory)
    return os.path.join(path, "snapshot") if os.path.ismount(path) else path


def last(task: Task) -> Record | None:
    value = task.owner.meta(RECORD)
    if value is None:
        return None
    fields = json.loads(value)
    return Record(**{**fields, "generation": tuple(fields["generation"])})


def is_recent(task: Task, directory: str, since: Verified) -> bool:
    """Whether the last snapshot lies in `directory` and was begun after that verification had ended."""
    known = last(task)
    return (
        known is not None
        and known.path == place(directory)
        and datetime.fromisoformat(known.time) >= since.time
        and Generation(*known.generation) > since.generation
    )


def require(task: Task, directory: str, since: Verified) -> None:
    """`RefusedError` unless `directory` holds the last snapshot, newer than `since` and whole."""
    known = last(task)
    directory = place(directory)
    remedy = f"run: dualtrack engine snapshot --to {directory}, then this again"
    if known is None or not is_recent(task, directory, since):
        found = f"the last one is {known.path} of {known.time}" if known else "there is none"
        raise RefusedError(
            f"no snapshot in {directory} since the verification of {since.time} ({found}); {remedy}"
        )
    if not os.path.isfile(os.path.join(directory, "data.mdb")):
        raise RefusedError(f"the snapshot in {directory} is gone; {remedy}")
    with _opened(directory, task) as copy:
        digest = copy.digest(task.stop)
        uuid = copy.meta("store_uuid")
    if str(digest) != known.digest or uuid != task.owner.meta("store_uuid"):
        raise RefusedError(f"the snapshot in {directory} has digest {digest}, not {known.digest}; {remedy}")


def lies_on_drive(task: Task, directory: str) -> bool:
    root = os.path.realpath(task.drive.path)
    return os.path.commonpath([root, os.path.realpath(directory)]) == root


def _opened(directory: str, task: Task) -> closing[LmdbStore]:
    return closing(LmdbStore.open(directory, task.drive.drive_id))


def pages(task: Task) -> Iterator[list[Row]]:
    """Every row of the owner, in order, with a checkpoint before each page."""
    after: Place | None = None
    while True:
        task.checkpoint()
        rows = task.owner.scan(after, PAGE)
        if not rows:
            return
        yield rows
        after = (rows[-1].bucket, rows[-1].key)


def _copy(task: Task, copy: LmdbStore, stated: Generation) -> None:
    """Pass after pass, until one finds nothing up to `stated` that was missing."""
    copy.open_term()
    for _ in range(_PASSES):
        missed = 0
        for rows in pages(task):
            known = copy.get_many([(row.bucket, row.key) for row in rows])
            changed = [row for row, old in zip(rows, known, strict=True) if row != old]
            copy.commit(Batch(puts=tuple(map(put_of, changed))))
            missed += sum(row.generation <= stated for row in changed)
            task.scanned += len(rows)
            task.committed += len(changed)
        if not missed:
            return
    raise IncompleteError(
        f"rows up to {stated} still changed after {_PASSES} passes; run it again when fewer clients write"
    )


def put_of(row: Row) -> Put:
    """The row with the index entry and the count of versions that belong to it."""
    if not row.present:
        return Put(row, b"", "any", 0)
    meta = xlmeta.decode(row.data)
    packed = b"" if is_system(row.bucket) else summary(meta).pack()
    return Put(row, packed, "any", len(meta.versions))


def _copy_meta(task: Task, copy: LmdbStore, begun: Position | None) -> None:
    after = None
    while page := task.owner.meta_scan("", after, 64):
        copy.commit(Batch(meta={name: value for name, value in page if not name.startswith(_OWN_META)}))
        after = page[-1][0]
    # An owner of the copy must give generations above every row in it. After this nothing can be committed.
    term = task.owner.meta("term") or b"0"
    copy.commit(Batch(meta={"term": term, POSITION: _position(task, copy, begun, int(term))}))


def _position(task: Task, copy: LmdbStore, begun: Position | None, term: int) -> bytes | None:
    """What the copy notes of the store's log: all up to the record that was the last when copying began is in
    it, and nothing beyond the one that is the last now.
    """
    if begun is None:
        return None
    now = Position.of(task.owner.meta(POSITION))
    if now is None or now.log != begun.log:
        raise IncompleteError("the store's row log was begun anew or ended meanwhile; run snapshot again")
    if not task.dry_run:
        task.owner.log.rotate()  # flushes what the copy may have seen: without it the log would not do
    return begun.of_copy(term, now.seq, copy.entries().changes).pack()


def _verify_copy(task: Task, directory: str, stated: Generation) -> tuple[Digest, int]:
    """Open it anew and read all of it, row against row; answers its digest and how many rows are newer.

    The owner's digest is taken before its rows: where none of these is newer than `stated`, nobody had
    written by then, and both must be the same.
    """
    newer = 0
    with _opened(directory, task) as copy:
        digest = copy.digest(task.stop)
        theirs = task.owner.digest(task.stop)
        for rows in pages(task):
            found = copy.get_many([(row.bucket, row.key) for row in rows])
            for row, other in zip(rows, found, strict=True):
                newer += row.generation > stated
                if row != other and row.generation <= stated:
                    raise DifferenceError(f"{row.bucket}/{row.key} differs in the copy; run snapshot again")
    if not newer and digest != theirs:
        raise DifferenceError(f"the copy has digest {digest}, the store {theirs}; run snapshot again")
    return digest, newer


def _swap(temporary: str, directory: str) -> None:
    """Put the verified copy in place. The older one goes last; cut off in between, it lies at `DIR.old`."""
    old = directory + ".old"
    _clear(old)
    if os.path.isdir(directory):
        files.rename(directory, old)
    files.rename(temporary, directory)
    files.sync_directory(os.path.dirname(directory))
    _clear(old)


def _clear(directory: str) -> None:
    """Remove a store that nobody relies on: what it consists of, and nothing else. `RefusedError` if there
    is anything else.
    """
    for name in _PARTS:
        files.unlink(os.path.join(directory, name), missing_ok=True)
    if not files.remove_directory(directory) and os.path.lexists(directory):
        raise RefusedError(
            f"{directory} holds more than a snapshot ({', '.join(sorted(os.listdir(directory))[:3])}); move "
            "that away, then run this again"
        )


def refuse_owned(directory: str) -> None:
    """Nobody may be at work on what is to be replaced."""
    path = os.path.join(directory, "owner.lock")
    if not os.path.lexists(path):
        return
    lock = files.lock_file(path)
    if lock is None:
        raise StoreLockedError(f"{directory} is in use by another process; wait until that has ended")
    os.close(lock)


def _refuse_foreign(task: Task, directory: str) -> None:
    """Only a snapshot of this very store may be replaced."""
    if os.path.realpath(directory) == os.path.realpath(task.store_dir):
        raise RefusedError(f"{directory} is the store itself; name another directory")
    if not os.path.lexists(directory) or not os.listdir(directory):
        return
    if not os.path.isfile(os.path.join(directory, "data.mdb")):
        raise RefusedError(f"{directory} is not empty and holds no snapshot; name another directory")
    if strange := sorted(set(os.listdir(directory)).difference(_PARTS)):
        raise RefusedError(f"{directory} holds more than a snapshot ({strange[0]}); move that away first")
    refuse_owned(directory)
    with _opened(directory, task) as old:
        uuid = old.meta("store_uuid")
    if uuid != task.owner.meta("store_uuid"):
        raise RefusedError(f"{directory} holds the snapshot of another store; name another directory")
