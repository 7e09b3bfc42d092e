"""The one process that writes a store: it holds `flock` on it, groups commits, and keeps the dirty marks.

Two fences stop whoever was owner before: the kernel's lock on `<store>/owner.lock`, and the term, raised at
each opening and compared inside every transaction. A generation is (term, counter), so one that a killed
owner gave is never given again, with nothing to write per generation.

What is dirty is `marks.py`'s, how it becomes rows `draining.py`'s; here is what they share, and the door.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from dualtrack.engine import kept_values, marker, trust
from dualtrack.engine.digests import Digest
from dualtrack.engine.draining import Draining, Follow, ReadDraft
from dualtrack.engine.journal import Journal, Token
from dualtrack.engine.marks import Marks
from dualtrack.engine.mode import Mode
from dualtrack.engine.objects import intents
from dualtrack.engine.objects.cache import Commits
from dualtrack.engine.owner_api import OwnerInfo
from dualtrack.engine.rowlog.appending import RowLog
from dualtrack.engine.rowlog.keeper import Keeper
from dualtrack.engine.rowlog.opening import follow
from dualtrack.engine.rows import ZERO, Generation, Row
from dualtrack.engine.storelock import lock_store
from dualtrack.engine.stores.location import Driver, Location, locate
from dualtrack.engine.stores.matching import Matched
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import (
    Batch,
    BatchResult,
    Older,
    OwnedStore,
    PackedRow,
    Place,
    ScrubPage,
    SealedRows,
    StoreStats,
)
from dualtrack.engine.stores.readers import Readers
from dualtrack.engine.stores.sealed import place_of
from dualtrack.engine.stripes import Stripes
from dualtrack.engine.summary import Summary
from dualtrack.engine.writer import Writer

DRAIN_BATCH = 256


@dataclass(frozen=True, slots=True)
class OwnerSettings:
    """`mode` is None where a verb owns the store and no server runs. `map_size` 0 is as large as the disk."""

    drive_id: str = ""
    mode: Mode | None = None
    map_size: int = 0
    boot_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    #: Whether the row log that the store has must be there: who means to end it does without.
    needs_log: bool = True
    #: Whether it keeps marks: a dry run makes no journal where there is none, and then nothing is dirty.
    marks: bool = True


class Owner:
    """Thread-safe; see `OwnerApi` for what a client may ask too."""

    def __init__(
        self,
        store: OwnedStore,
        lock: int | None,
        journal: Journal | None,
        drive: str | None,
        settings: OwnerSettings,
        log: RowLog | None = None,
        directory: str = "",
    ) -> None:
        """`directory` is an LMDB store's, which can have a row log."""
        self.store = store
        self._lock = lock
        self._journal = journal
        self._drive = drive
        self._settings = settings
        self._counter = count(1)
        self._term = store.term
        self._marks = Marks(journal, drive, self.next_generation)
        self.stripes = Stripes()
        self._awaited: set[Place] = set()
        self._awaited_lock = threading.Lock()
        #: Told of every commit of rows, where somebody caches them; set before the first one.
        self.commits: Commits | None = None
        self._writer = Writer(store, journal if journal is not None else ())
        self.log = Keeper(store, log, (directory, drive or ""), self._writer.call)

    @classmethod
    def open(cls, drive: str | None, store_dir: str, settings: OwnerSettings) -> Owner:
        """Own the store that `store_dir` names (see `location.py`). Without a drive there is no journal
        (export of a store alone).
        """
        return cls.of(locate(store_dir, drive), settings, drive)

    @classmethod
    def of(cls, location: Location, settings: OwnerSettings, drive: str | None = None) -> Owner:
        """Own the store there; see `open`."""
        opened: list[Callable[[], None]] = []
        try:
            lock = lock_store(location)
            if lock is not None:
                opened.append(lambda: os.close(lock))
            store = open_store(location, settings.drive_id, map_size=settings.map_size)
            opened.append(store.close)
            trust.check_marker(drive, store, settings.mode)
            embedded = location.directory if location.driver is Driver.LMDB else ""
            log = follow(store, embedded, drive or "", needed=settings.needs_log)
            if log is not None:
                opened.append(log.close)
            store.open_term()
            marked = drive if settings.marks else None
            journal = Journal.open(marker.control_directory(marked), store.drive_id) if marked else None
            if journal is not None:
                opened.append(journal.close)
                intents.recover(str(drive), journal)
            trust.settle(store, journal, drive, settings.mode)
            return cls(store, lock, journal, drive, settings, log, embedded)
        except BaseException:
            for close in reversed(opened):
                close()
            raise

    def info(self) -> OwnerInfo:
        mode = self._settings.mode
        found = marker.read(self._drive) if self._drive else marker.Marker()
        return OwnerInfo(
            store_uuid=(self.meta("store_uuid") or b"").decode(),
            drive_id=self.store.drive_id,
            migration_uid=found.migration_uid,
            epoch=int(self.meta("epoch") or b"0"),
            engine=mode.engine.value if mode else "",
            ratio=mode.ratio_text if mode else "0",
            fallback=mode.fallback if mode else True,
            boot_id=self._settings.boot_id,
            journal_depth=self._marks.depth,
            degraded=self._is_degraded(),
            fence=self.store.fence(),
            trust_floor=self.trust_floor(),
        )

    def _is_degraded(self) -> bool:
        """Also where a server that marks nothing has come beside this owner, and only the journal says so."""
        recorded = self._journal is not None and self._journal.broken
        return self.broken or recorded or self.meta(trust.UNMENDED) is not None

    # -- generations and trust -----------------------------------------------------------------------------

    def next_generation(self) -> Generation:
        return Generation(self._term, next(self._counter))

    def trust_floor(self) -> Generation:
        value = self.meta("trust_floor")
        return Generation.unpack(value) if value else ZERO

    def begin(self, run_id: str, fence: int) -> int:
        return self._writer.call(lambda: self.store.begin(run_id, fence))

    # -- rows ------------------------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> BatchResult:
        return self.submit(batch).result()

    def submit(self, batch: Batch) -> Future[BatchResult]:
        """Hand a batch to the writer; the future is done when it is durable."""
        if self.commits is None:
            return self._writer.submit(batch)
        commits = self.commits
        sealed = batch.sealed.fulls if batch.sealed else ()
        places = [*((put.row.bucket, put.row.key) for put in batch.puts), *map(place_of, sealed)]
        stripes = commits.begin(places)
        try:
            future = self._writer.submit(batch)
        except BaseException:
            commits.end(stripes)
            raise
        future.add_done_callback(lambda _: commits.end(stripes))
        return future

    def get(self, bucket: str, key: str) -> Row | None:
        return self.store.get(bucket, key)

    def get_many(self, places: Sequence[Place]) -> list[Row | None]:
        return self.store.get_many(places)

    def scan(self, after: Place | None, limit: int) -> list[Row]:
        return self.store.scan(after, limit)

    def scan_packed(self, after: Place | None, limit: int) -> list[PackedRow]:
        return self.store.scan_packed(after, limit)

    def scan_older(self, after: Place | None, than: Generation, trust: Generation, limit: int) -> Older:
        return self.store.scan_older(after, than, trust, limit)

    def scan_index(self, bucket: str, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        return self.store.scan_index(bucket, prefix, after, limit)

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]:
        return self.store.list_index(bucket, prefix, after, limit)

    def match(self, fresh: SealedRows, floor: Generation) -> Matched:
        return self.store.match(fresh, floor)

    def between(self, table: str, start: bytes, end: bytes, most: int, *, inclusive: bool) -> list[PackedRow]:
        return self.store.between(table, start, end, most, inclusive=inclusive)

    def cursor(self, name: str) -> bytes | None:
        return self.store.meta("cursor/" + name)

    def meta(self, name: str) -> bytes | None:
        return self.store.meta(name)

    def meta_scan(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        return self.store.meta_scan(prefix, after, limit)

    def stats(self) -> StoreStats:
        return self.store.stats()

    def readers(self) -> Readers:
        return self.store.readers()

    def digest(self, stop: Callable[[], bool] = lambda: False) -> Digest:
        return self.store.digest(stop)

    def scrub(self, after: bytes) -> ScrubPage:
        return self.store.scrub(after)

    def scrub_meta(self) -> list[str]:
        return [name for name, value in self.store.scrub_meta() if value is None]

    def locked(self, places: Iterable[Place]) -> AbstractContextManager[None]:
        return self.stripes.locked(places)

    def require_locked(self) -> None:
        """Locks of this process do not run out."""

    # -- what is dirty (see `marks.py`) ----------------------------------------------------------------------

    @property
    def broken(self) -> bool:
        return self._marks.broken

    def mark(self, bucket: str, key: str) -> Token | None:
        return self._marks.mark(bucket, key)

    def intend(self, bucket: str, key: str, intent: bytes) -> Token:
        return self._marks.intend(bucket, key, intent)

    def intents(self, bucket: str, key: str) -> list[Token]:
        return self._marks.intents(bucket, key)

    def all_intents(self) -> list[Token]:
        return self._marks.all_intents()

    def carried_out(self, token: Token) -> None:
        self._marks.carried_out(token)

    def clear(self, *tokens: Token | None) -> None:
        self._marks.clear(token for token in tokens if token is not None)

    def is_dirty(self, bucket: str, key: str) -> bool:
        return (bucket, key) in self._marks

    def dirty(self, places: Iterable[Place]) -> set[Place]:
        return {place for place in places if place in self._marks}

    def dirty_places(self, limit: int) -> list[Place]:
        """Some of the dirty keys, for a verb that has to settle them first."""
        return self._marks.places(limit)

    def hurry(self, places: Iterable[Place]) -> None:
        """Somebody waits for those of these keys that are dirty: the drain's next turn is theirs."""
        with self._awaited_lock:
            # Where rows follow at once the drain never asks for these: what it has settled is forgotten here.
            self._awaited = self.dirty({*self._awaited, *places})

    def awaited(self) -> list[Place]:
        """Dirty keys that were hurried since this was asked last."""
        with self._awaited_lock:
            asked, self._awaited = self._awaited, set()
        return sorted(self.dirty(asked))

    def dirty_since(self, moment: float) -> list[Place]:
        return self._marks.places_since(moment)

    def drain(
        self,
        read: ReadDraft,
        limit: int = DRAIN_BATCH,
        chosen: Sequence[Place] | None = None,
        follow: Follow | None = None,
    ) -> int:
        """Bring up to `limit` dirty keys, or those `chosen`, into the store; returns how many were settled.

        `read(bucket, key)` reads the key's file as it is now; None says that there is none, which becomes a
        tombstone. Where the row is later than its file, it stays, and `follow(bucket, key)`, if given, brings
        the file up to it. An OSError from either leaves that key dirty. Stripe locks keep writers out
        meanwhile.
        """
        places = self.dirty_places(limit) if chosen is None else chosen[:limit]
        return Draining(self, self._marks, self.stripes, self._drive, read, self._keep, follow).drain(places)

    def _keep(self, rows: Sequence[Row]) -> None:
        """Under the fence of the run that comes next: a server has none, and only what follows is later."""
        if self._drive is not None:
            kept_values.keep(self._drive, datetime.now(UTC), self.store.fence() + 1, rows)

    def close(self) -> None:
        self._writer.close()
        self.log.close()
        self.store.close()
        if self._journal is not None:
            self._journal.close()
        if self._lock is not None:
            os.close(self._lock)
