"""`restore-store`: a lost store made anew from its snapshot and the row log since, for rows that lead.

From `KvOnly` on a store cannot be rebuilt from files. Its snapshot is copied, key by key, into a new store;
the log's records since are laid over it, once the whole of the log was read and holds together; the result is
read whole, every envelope and index entry checked, and put in the lost store's place (`replacing.py`), where
the old one is kept. Snapshot and log are only read, so that all of it can be done again.

With the log no acknowledged commit is missing, but for the last seconds where somebody chose to flush it only
so often. Without it the store is as old as the snapshot, which somebody has to accept by name. A log that
lost its end, or of which nobody can say that it has it, gives a store all the same, which is better than
none; `missing` says so, and it is no success.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dualtrack.engine import replacing
from dualtrack.engine.digests import Digest
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.rowlog import noting
from dualtrack.engine.rowlog.keeper import ENDED
from dualtrack.engine.rowlog.opening import SETTING, Setting
from dualtrack.engine.rowlog.records import Position
from dualtrack.engine.rowlog.replaying import Replayed, replay
from dualtrack.engine.rowlog.segments import LogGapError, later_logs
from dualtrack.engine.snapshot import place, refuse_owned
from dualtrack.engine.storelock import REPLACED
from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.location import Driver, Location
from dualtrack.engine.stores.recording import POSITION, Change
from dualtrack.engine.stores.transaction import META, TABLES
from dualtrack.errors import (
    DifferenceError,
    IncompleteError,
    MarkerError,
    RefusedError,
    StoreCorruptError,
    UsageError,
)

_BACKENDS_OWN = (b"children",)
"""A meta value that LMDB's long keys bring with them: the new store has its own."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Of one drive. `log` is the folder that the drives of a machine share; None: the snapshot alone, which
    `without_log` accepts where there was a log.
    """

    snapshot: str
    log: str | None = None
    without_log: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """`kept`: where the old store lies now; empty in a dry run, and where there was none. `until`: when the
    last record was written. `missing`: acknowledged commits that are not in the store, or may not be.
    """

    digest: Digest
    kept: str = ""
    records: int = 0
    until: datetime | None = None
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def restore_store(
    drive: Drive,
    location: Location,
    lock: DriveLock,
    sources: Sources,
    *,
    stop: Callable[[], bool] = lambda: False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    dry_run: bool = False,
) -> Restored:
    """Copy, replay, verify, swap. A dry run does all but the swap, and removes what it built."""
    _refuse(drive, location, lock)
    with replacing.held(location, dry_run=dry_run):
        with replacing.building(location, dry_run=dry_run) as fresh:
            done = _build(drive, lock, sources, fresh, stop)
            lock.check()
        if dry_run:
            return done
        undo = f"the old store is kept as {location}.replaced-<time>: exchange the two while nobody owns them"
        with lock.recorded(
            "restore-store", undo, store=str(location), snapshot=sources.snapshot, log=sources.log or ""
        ) as record:
            kept = replacing.swap(location, fresh, now())
            record.counts = {"rows": done.digest.count, "records": done.records}
            record.undo = (
                f"put {kept} in place of {location} and remove its file {REPLACED!r}, while nobody owns it"
                if kept
                else "none: there was no store before; restore-store again"
            )
        return replace(done, kept=kept)


def _refuse(drive: Drive, location: Location, lock: DriveLock) -> None:
    if location.driver is not Driver.LMDB:
        raise UsageError(f"--store {location}: only an LMDB store is made from a snapshot")
    replacing.refuse_mount(location)
    if not lock.state.state.reached(MarkerState.KV_ONLY):
        raise MarkerError(
            f"{drive.path} is at {lock.state.state}: its files are the truth, and a snapshot may be behind "
            "them; run dualtrack engine rebuild"
        )


def _build(drive: Drive, lock: DriveLock, sources: Sources, fresh: str, stop: Callable[[], bool]) -> Restored:
    """The whole new store, closed again and read anew."""
    with (
        _snapshot(sources.snapshot, drive, lock) as copy,
        closing(LmdbStore.open(fresh, drive.drive_id)) as store,
    ):
        at = _position(copy, sources)
        _copy(copy, store, stop)
        replayed = _replay(store, drive, sources, at, stop)
        expected = None if replayed else copy.digest(stop)
    with closing(LmdbStore.open(fresh, drive.drive_id)) as store:
        digest = store.digest(stop)
        damaged = [name for name, value in store.scrub_meta() if value is None]
        missing = [] if replayed is None else _missing(store, replayed, _folder(sources, drive), drive)
    if damaged or (expected is not None and digest != expected):
        raise DifferenceError(
            f"what was made of {sources.snapshot} is not the same ({digest}, {damaged[:3]}); run it again"
        )
    if replayed is None:
        return Restored(digest)
    until, cut = replayed.reading.time_ns, replayed.reading.cut
    return Restored(
        digest,
        records=replayed.applied,
        until=datetime.fromtimestamp(until / 1e9, UTC) if until else None,
        missing=tuple(missing),
        warnings=(f"left out, because it was never acknowledged: {cut}",) if cut and not missing else (),
    )


def _missing(store: LmdbStore, replayed: Replayed, folder: str, drive: Drive) -> list[str]:
    log = replayed.reading.segments[0].header.log
    ended, others = store.meta(ENDED) is not None, later_logs(folder, log)
    found = _lost_end(drive, replayed, log, told=ended or bool(others))
    if ended:
        found.append("the log was ended by name: what was written after that is not in it")
    elif others:
        found.append(
            f"the log ended before the store did, which went on with {others[-1]}, and no snapshot came "
            "after that: what was written since the last record is lost, though it was acknowledged"
        )
    return found


def _lost_end(drive: Drive, replayed: Replayed, log: str, *, told: bool) -> list[str]:
    """What the drive's own note says of records that the log should have. `told`: it is known already that
    another log followed.
    """
    try:
        noted = noting.read(drive.path)
    except StoreCorruptError as error:
        return [str(error)]
    if noted is None:
        return [f"{drive.path} has no note of its log: whether the log has its end cannot be told"]
    when = datetime.fromtimestamp(noted.time_ns / 1e9, UTC).isoformat(timespec="seconds")
    reading = replayed.reading
    if noted.log != log:
        if told:
            return []
        return [
            f"the drive noted at {when} that its store's log was {noted.log} (in {noted.directory}), of "
            "which nothing is here: what was written into that is lost, though it was acknowledged"
        ]
    if reading.seq >= noted.seq and reading.segments[-1].header.number >= noted.number:
        return []
    number = reading.segments[-1].header.number
    return [
        f"the log lost its end: it is at record {reading.seq} in segment {number}, and the drive "
        f"noted at {when} that it was at {noted.seq} in segment {noted.number} (in "
        f"{noted.directory}); acknowledged commits are missing, {max(noted.seq - reading.seq, 0)} or more"
    ]


def _snapshot(directory: str, drive: Drive, lock: DriveLock) -> closing[LmdbStore]:
    """The snapshot, opened, if it is one of the store that the drive's marker names."""
    path = place(directory)
    if not os.path.isfile(os.path.join(path, "data.mdb")):
        raise UsageError(f"--snapshot {directory}: there is no snapshot")
    refuse_owned(path)
    copy = LmdbStore.open(path, drive.drive_id)
    uuid = (copy.meta("store_uuid") or b"").decode()
    if lock.state.store_uuid and uuid != lock.state.store_uuid:
        copy.close()
        raise RefusedError(
            f"{path} is a snapshot of store {uuid}, and the marker of {drive.path} names "
            f"{lock.state.store_uuid}; name another"
        )
    return closing(copy)


def _position(copy: LmdbStore, sources: Sources) -> Position | None:
    at = Position.of(copy.meta(POSITION))
    if sources.log is None:
        if at is not None and not sources.without_log:
            raise RefusedError(
                f"the store of {sources.snapshot} had a row log: name it with --row-log DIR, or accept by "
                "--without-log that what was written since the snapshot is lost"
            )
        return None
    if at is None:
        raise RefusedError(
            f"{sources.snapshot} was taken without a row log, so no log continues it; name the snapshot "
            "that was, or leave out --row-log"
        )
    if copy.entries().changes != at.changes:
        raise RefusedError(
            f"somebody has written into {sources.snapshot} since it was taken: the log does not continue it"
        )
    return at


def _copy(copy: LmdbStore, store: LmdbStore, stop: Callable[[], bool]) -> None:
    """Every entry of every table as it lies there, but for the position: the new store has one of its own."""
    for table in TABLES:
        after: bytes | None = None
        while page := copy.raw(table, after):
            if stop():
                raise IncompleteError("interrupted")
            after = page[-1][0]
            store.replay(iter(_changes(table, page)), lambda _: None)


def _changes(table: str, page: list[tuple[bytes, bytes]]) -> list[Change]:
    left_out = (*_BACKENDS_OWN, POSITION.encode()) if table == META else ()
    return [(table, key, value) for key, value in page if key not in left_out]


def _folder(sources: Sources, drive: Drive) -> str:
    """Where the log of this drive lies."""
    return Setting(os.path.abspath(sources.log or "")).place(drive.drive_id).folder


def _replay(
    store: LmdbStore, drive: Drive, sources: Sources, at: Position | None, stop: Callable[[], bool]
) -> Replayed | None:
    """Lay the log over the copy. The new store goes on with it."""
    if at is None or sources.log is None:
        return None
    folder = _folder(sources, drive)
    if not os.path.isdir(folder):
        raise UsageError(f"--row-log {sources.log}: there is no log of drive {drive.drive_id}")
    try:
        done = replay(store, folder, at, stop=stop)
    except LogGapError as error:
        raise RefusedError(
            f"{error}; name the snapshot and the log that belong together, or accept by --without-log that "
            "what was written since the snapshot is lost"
        ) from error
    setting = Setting(os.path.abspath(sources.log), done.reading.segments[-1].header.flush_seconds)
    remembered: Change = (META, SETTING.encode(), envelope.pack_meta(SETTING.encode(), setting.pack()))
    chain, seq = done.reading.chain.hex(), done.reading.seq
    store.replay(iter([remembered]), lambda term: Position(at.log, seq, chain, term).pack())
    return done
