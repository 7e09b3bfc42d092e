"""How an owner goes on with the log of its rows when it opens their store.

That a store has a log is written in the store itself (`rowlog`), so no later owner can forget it: one that
cannot reach the log is refused, until somebody ends the log by name. Where a log does not continue what the
store has, because it lost its end or somebody wrote without it, the owner begins another one beside it and
says so: until the next snapshot, snapshot and log together do not give the store (`covers`).
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from dataclasses import asdict, dataclass

from dualtrack.engine import files
from dualtrack.engine.rowlog import noting, records
from dualtrack.engine.rowlog.appending import Place, RowLog
from dualtrack.engine.rowlog.records import Header, Position
from dualtrack.engine.rowlog.replaying import Replayed, replay
from dualtrack.engine.rowlog.segments import LogGapError, segments
from dualtrack.engine.stores.protocol import OwnedStore
from dualtrack.engine.stores.recording import POSITION
from dualtrack.errors import RefusedError, StoreError, StoreLockedError

SETTING = "rowlog"
"""Meta value: where the log lies (`Setting`)."""
_STOP = "or end the log by name: dualtrack engine row-log stop"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """`directory` may be shared by several drives: each has a folder in it, named by its id."""

    directory: str
    flush_seconds: int = 0

    @classmethod
    def of(cls, value: bytes | None) -> Setting | None:
        return None if value is None else cls(**json.loads(value))

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def place(self, drive_id: str) -> Place:
        return Place(os.path.join(self.directory, drive_id), self.flush_seconds)


def follow(store: OwnedStore, directory: str, drive: str, *, needed: bool = True) -> RowLog | None:
    """The log that the store in `directory` says it has, for whoever opens it, before anything is committed.
    Not `needed`: whoever means to end it gets in without.
    """
    setting = Setting.of(store.meta(SETTING))
    if setting is None:
        if drive:
            _refuse_snapshot_in_place(store, directory, drive)
        return None
    try:
        store.log = log = attach(store, setting)
    except (RefusedError, StoreError, OSError) as error:
        if needed:
            raise
        _log.warning("row log error=%s: it is about to be ended", error)
        return None
    if drive:
        log.note_on(drive, directory)
    return log


def _refuse_snapshot_in_place(store: OwnedStore, directory: str, drive: str) -> None:
    """`RefusedError` where somebody copied a snapshot over the store: it lacks what the log has, and writing
    into it would make two lines of one. Where it lies itself a snapshot may be opened.
    """
    at = Position.of(store.meta(POSITION))
    if at is None or at.changes < 0:
        return
    noted = noting.read(drive)
    if noted is None or noted.store != noting.seen_from(drive, directory):
        return
    if noted.log == at.log and noted.seq <= at.seq:
        ahead = f"which goes on from record {at.seq}"
    else:
        ahead = f"which is at record {noted.seq} of {noted.log}, and the snapshot at {at.seq} of {at.log}"
    raise RefusedError(
        f"{directory} is a snapshot of the store that had a row log in {noted.directory}, {ahead}; nothing "
        "may be written into it: move it away, if there is no other, and run dualtrack engine restore-store "
        f"--snapshot DIR --row-log {noted.directory} (--without-log accepts that what was written since is "
        "lost), or rebuild below KvOnly"
    )


def attach(store: OwnedStore, setting: Setting) -> RowLog:
    """Go on with the log that a store has: bring the store to its end first, which is where an owner that
    was cut off, or whose store was replaced by a snapshot, may be behind it.
    """
    if not os.path.isdir(setting.directory):
        raise RefusedError(
            f"the store of drive {store.drive_id} has a row log in {setting.directory}, which is not there: "
            f"mount it, {_STOP}"
        )
    lock = _lock(store, setting)
    try:
        at = _known_position(store)
        folder = setting.place(store.drive_id).folder
        _flush(folder, at.log)
        done = replay(store, folder, at)
    except LogGapError as error:
        _log.error(
            "row log gap=%s: another log begins; take a snapshot, until then the log restores nothing", error
        )
        return _fresh(store, setting, lock)
    except BaseException:
        os.close(lock)
        raise
    return _continued(store, setting, at.log, done, lock)


def _flush(folder: str, log: str) -> None:
    """What a killed owner had written and not flushed is durable before the store takes it, and before a
    later record says that it is (`flushed`).
    """
    for each in segments(folder):
        if each.header.log == log:
            files.sync_file(each.path)


def begin(store: OwnedStore, setting: Setting) -> RowLog:
    """A new log, which needs a snapshot to be of use."""
    return _fresh(store, setting, _lock(store, setting))


def _known_position(store: OwnedStore) -> Position:
    """Where in its log the store is, if nobody has committed anything without the log since."""
    at = Position.of(store.meta(POSITION))
    if at is not None and at.changes >= 0:  # a snapshot that was put in the store's place
        known = store.entries().changes == at.changes
    else:
        known = at is not None and int(store.meta("term") or b"0") == at.term
    if at is None or not known:
        raise LogGapError("the store was written without its log")
    return at


def _lock(store: OwnedStore, setting: Setting) -> int:
    """Two stores of one drive (a snapshot and the store) must not write one log."""
    folder = setting.place(store.drive_id).folder
    try:
        files.ensure_directory(folder, 0o750)
        lock = files.lock_file(os.path.join(folder, "lock"))
    except OSError as error:
        raise RefusedError(
            f"the row log in {folder} cannot be opened ({error}): mend that, {_STOP}"
        ) from error
    if lock is None:
        raise StoreLockedError(f"another process writes the row log in {folder}; stop it first")
    return lock


def _fresh(store: OwnedStore, setting: Setting, lock: int) -> RowLog:
    header = Header(
        uuid.uuid4().hex,
        (store.meta("store_uuid") or b"").decode(),
        store.drive_id,
        0,
        1,
        records.START.hex(),
    )
    return RowLog(setting.place(store.drive_id), header, records.START, lock)


def _continued(store: OwnedStore, setting: Setting, log: str, done: Replayed, lock: int) -> RowLog:
    reading = done.reading
    if done.applied:
        _log.warning("row log applied=%d: the store was behind it", done.applied)
    if reading.cut is not None:
        _log.warning("row log left=%s", reading.cut)
    last = reading.segments[-1]
    header = Header(
        log,
        last.header.store,
        store.drive_id,
        last.header.number,
        reading.seq + 1,
        reading.chain.hex(),
    )
    found = RowLog(setting.place(store.drive_id), header, reading.chain, lock)
    if reading.cut is None:
        found.go_on_in(last, reading.end)
    return found
