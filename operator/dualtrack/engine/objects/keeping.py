"""What a data plane does beside its requests: drain the journal, count objects, and say how it stands.

With ratio 0 nothing is drained: this process leaves no marks, so a row that it made of an earlier one's mark
would go stale with the next write. Such keys stay dirty, and a later epoch settles them.

`rustfs_objects_in_kv` comes from the store's own counters, each second. `rustfs_objects_in_fs` is the result
of a whole walk of the drive that this process makes once, in the background, after its start: a count of
files at that time, not kept up by requests.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dualtrack.engine.drive import Drive
from dualtrack.engine.mode import Engine
from dualtrack.engine.objects import warmup
from dualtrack.engine.objects.drain import Drain
from dualtrack.engine.objects.kv_only import OnlyPlane, ReturningPlane
from dualtrack.engine.objects.kv_track import KV_ERRORS
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.opening import Opened
from dualtrack.engine.objects.types import Settings
from dualtrack.engine.rows import is_system
from dualtrack.engine.walk import walk
from dualtrack.errors import DriveError, StoreError

_log = logging.getLogger(__name__)


class Keeping:
    def __init__(self, opened: Opened, settings: Settings) -> None:
        self._opened = opened
        self._failing = False
        self._ending = threading.Event()
        self._count = threading.Thread(target=self._count_files, name="count-files", daemon=True)
        follow = opened.plane.follow if isinstance(opened.plane, ReturningPlane) else None
        self.drain = (
            Drain(opened.owner, opened.fs, self.report, opened.marked, _deferred(opened, settings), follow)
            if opened.owner is not None and opened.mode.ratio > 0
            else None
        )
        self._settings = settings
        self._warming = threading.Thread(target=self.warm, name="warm-up", daemon=True)

    def start(self) -> None:
        """Begin the background work. Where rows alone answer, what an earlier process left dirty is settled
        first: its file may have an answered write that no row has. `StoreError` if that is not possible."""
        if self.drain is not None and isinstance(self._opened.plane, OnlyPlane):
            self.drain.step()
            left = self._opened.owner.info().journal_depth if self._opened.owner else 0
            if left:
                raise StoreError(
                    f"{left} keys on {self._opened.drive.path} differ between file and row, and their files "
                    "cannot be read or written; see what keeps them from it, then start again"
                )
        self.report(False)
        if self._settings.drain:
            self._warming.start()
        if self._settings.inventory:
            self._count.start()
        if self._settings.drain and self.drain is not None:
            self.drain.start()
            if self._opened.loader is not None:
                self._opened.loader.start()

    @property
    def degraded(self) -> bool:
        return self._failing or self._opened.degraded

    def report(self, failing: bool) -> None:
        """Set the gauges; `failing` says that the store did not take the drain's rows."""
        self._failing = failing
        meter, owner = self._opened.meter, self._opened.owner
        meter.gauge("rustfs_kv_degraded", float(self.degraded), {})
        if owner is None:
            return
        meter.gauge("rustfs_dual_track_journal_depth", owner.info().journal_depth, {})
        if self.drain is not None:
            late = owner.dirty_since(time.monotonic() - self._settings.window_seconds)
            meter.gauge("rustfs_dual_track_late_keys", len(late), {})
        if self._opened.kv is not None and self._opened.kv.cache is not None:
            entries, size = self._opened.kv.cache.sizes()
            meter.gauge("rustfs_metadata_cache_entries", entries, {})
            meter.gauge("rustfs_metadata_cache_bytes", size, {})
        try:
            counts, readers, log = owner.stats().objects, owner.readers(), owner.log.status()
        except KV_ERRORS as error:
            _log.warning("store does not tell its counts error=%s", error)
            return
        present = sum(count for bucket, count in counts.items() if not is_system(bucket))
        meter.gauge("rustfs_objects_in_kv", present, {})
        meter.gauge("rustfs_dual_track_store_reader_behind", readers.behind, {})
        meter.gauge("rustfs_dual_track_store_readers_cleared", readers.cleared, {})
        meter.gauge("rustfs_dual_track_row_log", bool(log.directory) and not log.failure, {})
        meter.gauge("rustfs_dual_track_row_log_covers", log.covers, {})
        meter.gauge("rustfs_dual_track_row_log_record", log.seq, {})

    def warm(self) -> int:
        """Read the rows of the keys used last before the restart into the cache; how many there are."""
        kv = self._opened.kv
        if kv is None or kv.cache is None:
            return 0
        places = warmup.load(self._opened.drive.path, self._settings.cache.warmup)
        return warmup.warm(kv, places, self._ending.is_set)

    def _keep_used(self) -> None:
        kv = self._opened.kv
        if kv is not None and kv.cache is not None and self._settings.cache.warmup:
            warmup.save(self._opened.drive.path, kv.cache.latest(self._settings.cache.warmup))

    def wait_counted(self) -> None:
        """Wait for the count of files that was begun at the start."""
        self._count.join()

    def _count_files(self) -> None:
        try:
            count = count_files(self._opened.drive, self._ending.is_set)
        except DriveError as error:
            _log.warning("objects on the drive not counted error=%s", error)
            return
        if count is not None:
            self._opened.meter.gauge("rustfs_objects_in_fs", count, {})

    def close(self) -> None:
        self._ending.set()
        if self._count.ident is not None:
            self._count.join()
        if self._warming.ident is not None:
            self._warming.join()
        self._keep_used()
        if self._opened.loader is not None:
            self._opened.loader.stop()
        if self.drain is not None:
            self.drain.stop()


def _deferred(opened: Opened, settings: Settings) -> float:
    """`lazy` leaves a key dirty for half its window where files answer; elsewhere rows follow at once."""
    deferring = settings.level is Level.LAZY and opened.mode.engine is Engine.FS
    return settings.window_seconds / 2 if deferring else 0.0


def count_files(drive: Drive, ended: Callable[[], bool]) -> int | None:
    """How many objects have an `xl.meta` on the drive; None if `ended` said so meanwhile."""
    count = 0
    for found in walk(drive):
        if ended():
            return None
        count += len(found.objects)
    return count
