"""What an owner does with the log of its rows: starts it, ends it, changes its interval, prunes it.

An earlier segment goes once a verified snapshot has all that is in it, and never before. How an owner goes on
with a log at each opening is in `opening.py`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from dualtrack.engine import devices
from dualtrack.engine.rowlog.appending import RowLog
from dualtrack.engine.rowlog.opening import SETTING, Setting, begin
from dualtrack.engine.rowlog.records import Position
from dualtrack.engine.stores.protocol import Batch, OwnedStore
from dualtrack.engine.stores.recording import POSITION
from dualtrack.errors import RefusedError, StoreError, UsageError

BASE = "rowlog_base"
"""Meta value: `[log, seq]` of the last snapshot, which is what the log starts from."""
ENDED = "rowlog_ended"
"""Meta value that a log's last record sets, if it could still be written: nothing after it is in the log."""
OFF = "off"
_log = logging.getLogger(__name__)


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
        _refuse_snapshot(self._store, store)
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


def _refuse_snapshot(store: OwnedStore, directory: str) -> None:
    """`RefusedError` for a copy of a store that has a log: only what the drive remembers of that log can tell
    later that it lost its end, and another log, of a copy, would take its place.
    """
    at = Position.of(store.meta(POSITION))
    if at is not None and at.changes >= 0:
        raise RefusedError(
            f"{directory} is a snapshot of a store with a row log ({at.log}, record {at.seq}), and no log "
            "may begin in it: name the store itself, or make one of the snapshot (dualtrack engine "
            "restore-store)"
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
