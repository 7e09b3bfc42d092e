"""Opening a drive for a data plane: which store, which plane, and what happens if the store cannot be had.

Where files answer every question (`fs`, `kv_primary` with fallback) a store that is missing, locked or
damaged leaves the server ready but degraded: it serves from files and acknowledges nothing. Because its
writes then leave no marks, the epoch is recorded as broken first, and stays so while it runs, so that no
owner serves the rows that they make stale. In every other mode the start fails.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from contextlib import AbstractContextManager, suppress

from dualtrack.engine.drive import STORE_DIRECTORY, Drive
from dualtrack.engine.journal import Journal, write_unmarked
from dualtrack.engine.marker import Marker, MarkerState, control_directory
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.objects.cache import Commits, RowCache
from dualtrack.engine.objects.drain import draft_reader
from dualtrack.engine.objects.dual import DualPlane, PrimaryPlane
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.index_check import IndexCheck
from dualtrack.engine.objects.intents import recover, staged_names
from dualtrack.engine.objects.kv_only import OnlyPlane, ReturningPlane
from dualtrack.engine.objects.kv_track import KvTrack
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.loading import Loader
from dualtrack.engine.objects.plane import FsPlane, Plane
from dualtrack.engine.objects.rivals import above
from dualtrack.engine.objects.shadow import Shadow
from dualtrack.engine.objects.strong import BothTracks, StrongDualPlane, StrongPrimaryPlane
from dualtrack.engine.objects.types import Meter, Settings
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rowlog.keeper import OFF
from dualtrack.engine.server import Server
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stripes import Stripes
from dualtrack.errors import DriveError, StoreError, StoreLockedError

_log = logging.getLogger(__name__)


class Opened:
    """A drive's tracks as a mode uses them. `owner` is None while degraded for want of a store."""

    def __init__(self, drive: Drive, mode: Mode, marker: Marker, settings: Settings, meter: Meter) -> None:
        self.drive = drive
        self.mode = mode
        self.meter = meter
        self.fs = FsTrack(drive.path)
        self.fs.open()
        self.cause = ""
        self.boot_id = uuid.uuid4().hex
        self.marked = threading.Event()
        self.loader: Loader | None = None
        self._unmarked: int | None = None
        self.owner = self._own(settings)
        if self.owner is not None:
            # Its lock says that no other server lives, whose staged bodies these could be.
            self.fs.trash.clear(staged_names(self.owner.all_intents()))
        self.server: Server | None = None
        self._stripes = self.owner.stripes if self.owner else Stripes()
        self.kv = self._kv(settings)
        self.plane = self._plane(marker, settings)
        if self.owner is not None and settings.socket:
            self.server = Server(self.owner, locate(self._store_dir(settings), drive.path).directory)

    def _store_dir(self, settings: Settings) -> str:
        return settings.store_dir or os.path.join(self.drive.path, STORE_DIRECTORY)

    def _own(self, settings: Settings) -> Owner | None:
        strong = settings.level is Level.STRONG and self.mode.ratio > 0
        wanted = OwnerSettings(
            self.drive.drive_id,
            self.mode,
            settings.map_size,
            self.boot_id,
            needs_log=settings.row_log.directory != OFF,
        )
        try:
            return _logged(Owner.open(self.drive.path, self._store_dir(settings), wanted), settings)
        except (StoreError, OSError) as error:
            if strong or not self.mode.fallback:
                raise
            self.cause = str(error)
            _log.error("store not usable, serving from files mode=%s error=%s", self.mode, error)
        if self.mode.ratio > 0:
            self._unmarked = _break_epoch(self.drive.path)
        elif os.path.lexists(os.path.join(control_directory(self.drive.path), "journal")):
            # Rows may have been kept up before. This mode is the last resort, so it starts all the same.
            with suppress(DriveError):
                self._unmarked = _break_epoch(self.drive.path)
        return None

    def _kv(self, settings: Settings) -> KvTrack | None:
        if self.owner is None:
            return None
        if self.mode.engine is Engine.FS or not settings.cache.capacity:
            return KvTrack(self.owner, self.mode.epoch, self.meter)
        self.owner.commits = Commits()
        cache = RowCache(settings.cache, self.owner.commits)
        return KvTrack(self.owner, self.mode.epoch, self.meter, cache)

    def _plane(self, marker: Marker, settings: Settings) -> Plane:
        mode, fs, meter, kv = self.mode, self.fs, self.meter, self.kv
        if kv is None or (mode.engine is Engine.FS and mode.ratio == 0):
            return FsPlane(fs, meter)
        check = IndexCheck(kv, meter, settings.shadow_ratio)
        if mode.engine is Engine.KV_ONLY:
            return OnlyPlane(fs, meter, kv, check)
        if marker.state.reached(MarkerState.KV_ONLY):
            return ReturningPlane(fs, meter, kv, check)
        return self._plane_of_both(kv, settings)

    def _plane_of_both(self, kv: KvTrack, settings: Settings) -> DualPlane | PrimaryPlane:
        """Where both tracks are written, the level says how closely the row follows the file."""
        mode, fs, meter = self.mode, self.fs, self.meter
        draft = draft_reader(fs, kv.keeper)
        strong, lazy = settings.level is Level.STRONG, settings.level is Level.LAZY
        if lazy:
            self.loader = Loader(kv, draft)
        missed = self.loader.offer if self.loader is not None else None
        shadow = Shadow(kv, FsPlane(fs, meter).read_file, meter, settings.shadow_ratio)
        plane: DualPlane | PrimaryPlane
        if mode.engine is Engine.FS:
            wake = (lambda: None) if lazy else self.marked.set
            dual = StrongDualPlane if strong else DualPlane
            plane = dual(fs, meter, mode, kv, shadow, wake, missed)
        else:
            primary = StrongPrimaryPlane if strong else PrimaryPlane
            plane = primary(fs, meter, kv, shadow, mode.fallback, self.marked.set, missed)
        if isinstance(plane, StrongDualPlane | StrongPrimaryPlane):
            plane.both = BothTracks(fs, meter, kv, plane.read_file, draft)
        return plane

    @property
    def degraded(self) -> bool:
        return self.owner is None or self.owner.broken

    def locked(self, bucket: str, key: str) -> AbstractContextManager[None]:
        """The stripe of an object, shared with cleanup and repair through the owner, and those of the objects
        whose place on the drive it could take."""
        return self._stripes.locked([(bucket, key), *((bucket, each) for each in above(bucket, key))])

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        if self.owner is not None:
            self.owner.close()
        if self._unmarked is not None:
            os.close(self._unmarked)
            self._unmarked = None


def _logged(owner: Owner, settings: Settings) -> Owner:
    """With the row log that the settings ask for. What forbids it forbids the start in every mode: it is a
    setting that is wrong, or a disk that somebody relies on.
    """
    try:
        owner.log.ensure(settings.row_log)
    except BaseException:
        owner.close()
        raise
    return owner


def _break_epoch(drive: str) -> int:
    """The descriptor that keeps it so; see `write_unmarked`. Intents are carried out first, except where
    their owner lives: it is about to do so itself, and a second time could undo what came after it.
    """
    try:
        with suppress(StoreLockedError):
            journal = Journal.open(control_directory(drive))
            try:
                recover(drive, journal)
            finally:
                journal.close()
        return write_unmarked(control_directory(drive))
    except (StoreError, OSError) as error:
        raise DriveError(
            f"{drive}: the store cannot be used, nor that be recorded in .dualtrack/journal ({error}); "
            "make the journal writable, or start with RUSTFS_METADATA_ENGINE=fs and ratio 0"
        ) from error
