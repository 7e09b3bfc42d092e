"""What an owner does with a log of its rows: goes on with it at each opening, starts it, ends it, prunes it.

That a store has a log is written in the store itself (`rowlog`), so no later owner can forget it: one that
cannot reach the log is refused, until somebody ends the log by name. Where a log does not continue what the
store has, because it lost its end or somebody wrote without it, the owner begins another one beside it and
says so: until the next snapshot, snapshot and log together do not give the store (`covers`).

An earlier segment goes once a verified snapshot has all that is in it, and never before.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dualtrack.engine import devices, files
from dualtrack.engine.rowlog import noting, records
from dualtrack.engine.rowlog.appending import Place, RowLog
from dualtrack.engine.rowlog.records import Header, Position
from dualtrack.engine.rowlog.replaying import Replayed, replay
from dualtrack.engine.rowlog.segments import LogGapError, segments
from dualtrack.engine.stores.protocol import Batch, OwnedStore
from dualtrack.engine.stores.recording import POSITION
from dualtrack.errors import RefusedError, StoreError, StoreLockedError, UsageError

SETTING = "rowlog"
"""Meta value: where the log lies (`Setting`)."""
BASE = "rowlog_base"
"""Meta value: `[log, seq]` of the last snapshot, which is what the log starts from."""
ENDED = "rowlog_ended"
"""Meta value that a log's last record sets, if it could still be written: nothing after it is in the log."""
OFF = "off"
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


@dataclass(frozen=True, slots=True)
class Wish:
    """What a server is told of its log. An empty `directory`: whatever the store has; `off`: none."""

    directory: str = ""
    flush_seconds: int = 0
    accept_same_device: bool = False

    @property
    def setting(self) -> Setting | None:
        if self.directory == OFF:
            return None
        return Setting(os.path.abspath(self.directory), self.flush_seconds)


@dataclass(frozen=True, slots=True)
class Status:
    """`directory` is empty without a log. `covers`: the last snapshot and this log give the store as it is.
    `failure`: why the last commit could not be logged, and was refused.
    """

    directory: str = ""
    covers: bool = False
    seq: int = 0
    failure: str = ""


class LogApi(Protocol):
    """What may be asked of an owner's log, over its socket, too."""

    def start(
        self,
        directory: str,
        flush_seconds: int = 0,
        *,
        accept_same_device: bool = False,
        dry_run: bool = False,
    ) -> None:
        """Begin one; where there is one in `directory` already, only the interval changes. `RefusedError`
        where one disk would hold both store and log, unless that is accepted.
        """

    def stop(self) -> None:
        """End it, also where it cannot be written: that is what this is for. Its files stay."""

    def rotate(self) -> None:
        """A snapshot begins: what comes goes into a new segment. Nothing without a log."""

    def prune(self) -> int:
        """Remove the segments that the last snapshot makes superfluous; how many."""

    def status(self) -> Status: ...


class Keeper:
    """`run` does something between two transactions, on the thread that commits them."""

    def __init__(
        self,
        store: OwnedStore,
        log: RowLog | None,
        places: tuple[str, str],
        run: Callable[[Callable[[], Any]], Any],
    ) -> None:
        """`log` is what `follow` gave; `places` are the store's directory and its drive, empty where there
        is none, and then there is no log either.
        """
        self._store = store
        self._log = log
        self._places = places
        self._run = run

    def ensure(self, wish: Wish) -> None:
        """What a server was told at its start: this log, or none, or whatever there is."""
        known = Setting.of(self._store.meta(SETTING))
        if not wish.directory or known == wish.setting:
            return
        if wish.directory != OFF:
            # The log that there is ends only where another one can begin: a slip of the pen costs none.
            self._start_as(wish, dry_run=True)
        if known is not None and not self._same_place(wish):
            self.stop()
        if wish.directory != OFF:
            self._start_as(wish)

    def _same_place(self, wish: Wish) -> bool:
        """Whether only the interval is another: the log goes on."""
        known, wanted = Setting.of(self._store.meta(SETTING)), wish.setting
        return known is not None and wanted is not None and known.directory == wanted.directory

    def _start_as(self, wish: Wish, *, dry_run: bool = False) -> None:
        accepted = wish.accept_same_device
        self.start(wish.directory, wish.flush_seconds, accept_same_device=accepted, dry_run=dry_run)

    def start(
        self,
        directory: str,
        flush_seconds: int = 0,
        *,
        accept_same_device: bool = False,
        dry_run: bool = False,
    ) -> None:
        """See `LogApi`."""
        store, drive = self._places
        setting = Setting(os.path.abspath(directory), flush_seconds)
        if not store or not drive:
            raise UsageError("only an LMDB store, with its drive, can have a row log")
        if not os.path.isdir(setting.directory):
            raise UsageError(f"{directory} is no directory where the store's owner runs; make it first")
        refuse_same_device(setting.directory, drive, store, accepted=accept_same_device)
        if dry_run:
            return
        self._run(lambda: self._start(setting))

    def _start(self, setting: Setting) -> None:
        if self._log is not None:
            known = Setting.of(self._store.meta(SETTING))
            if known == setting:
                return
            if known is not None and known.directory == setting.directory:
                self._flush_every(self._log, setting)
                return
            raise RefusedError(
                f"the store has a row log in {self.status().directory} already; end it first (row-log stop)"
            )
        log = begin(self._store, setting)
        store, drive = self._places
        log.note_on(drive, store)
        try:
            self._set(log)
            self._store.commit(Batch(meta={SETTING: setting.pack(), BASE: None}))
        except BaseException:
            self._set(None)
            log.close()
            raise

    def _flush_every(self, log: RowLog, setting: Setting) -> None:
        """Another interval, and the log goes on: snapshot and log together still give the store."""
        before = log.place.flush_seconds
        log.flush_every(setting.flush_seconds)
        try:
            self._store.commit(Batch(meta={SETTING: setting.pack()}))
        except BaseException:
            log.flush_every(before)
            raise

    def stop(self) -> None:
        """See `LogApi`."""
        self._run(self._stop)

    def _stop(self) -> None:
        log = self._log
        if log is not None:
            with suppress(StoreError):
                self._store.commit(Batch(meta={ENDED: b"1"}))
        self._set(None)
        try:
            self._store.commit(Batch(meta={SETTING: None, POSITION: None, BASE: None, ENDED: None}))
        except BaseException:
            self._set(log)  # nothing was committed without it
            raise
        if log is not None:
            log.close()

    def _set(self, log: RowLog | None) -> None:
        self._log = self._store.log = log

    def rotate(self) -> None:
        """See `LogApi`."""
        self._run(lambda: self._log.rotate() if self._log is not None else None)

    def prune(self) -> int:
        """See `LogApi`."""
        return int(self._run(self._prune))

    def _prune(self) -> int:
        base = self._store.meta(BASE)
        if self._log is None or base is None:
            return 0
        known, seq = json.loads(base)
        return self._log.prune(seq) if known == self._log.log else 0

    def status(self) -> Status:
        """See `LogApi`."""
        log = self._log
        if log is None:
            return Status()
        base = self._store.meta(BASE)
        covers = base is not None and json.loads(base)[0] == log.log and not log.failure
        return Status(os.path.dirname(log.place.folder), covers, log.seq, log.failure)

    def close(self) -> None:
        """After the last commit."""
        if self._log is not None:
            self._log.close()


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


def refuse_same_device(directory: str, drive: str, store: str, *, accepted: bool) -> None:
    """`RefusedError` where the log would be lost with what it is for."""
    root, path = os.path.realpath(drive), os.path.realpath(directory)
    for each in (root, os.path.realpath(store)):
        if os.path.commonpath([each, path]) == each:
            raise RefusedError(f"the row log {directory} would lie in {each} itself; name a place outside it")
    common = devices.shared(drive, directory) | devices.shared(store, directory)
    if not common:
        return
    what = f"the row log {directory} lies on {', '.join(sorted(common))}, as the drive or its store does"
    if not accepted:
        raise RefusedError(
            f"{what}: the loss of that disk would lose both; name one on another, or say --accept-same-device"
        )
    _log.warning("row log same_device=%s", what)


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
