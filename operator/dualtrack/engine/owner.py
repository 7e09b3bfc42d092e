"""The one process that writes a store: it holds `flock` on it, groups commits, and keeps the dirty journal.

Two fences stop whoever was owner before: the kernel's lock on `<store>/owner.lock`, and the term, raised at
each opening and compared inside every transaction. A generation is (term, counter), so one that a killed
owner gave is never given again, with nothing to write per generation.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count, islice

from dualtrack.engine import marker, trust
from dualtrack.engine.digests import Digest
from dualtrack.engine.draining import Draining, Follow, ReadDraft
from dualtrack.engine.journal import Journal, Token
from dualtrack.engine.mode import Mode
from dualtrack.engine.objects import intents
from dualtrack.engine.objects.cache import Commits
from dualtrack.engine.owner_api import OwnerInfo
from dualtrack.engine.rowlog.appending import RowLog
from dualtrack.engine.rowlog.keeper import Keeper, follow
from dualtrack.engine.rows import ZERO, Generation, Row, RowDraft, RowOrigin, is_system
from dualtrack.engine.stores.location import Driver, Location, locate
from dualtrack.engine.stores.matching import Matched
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import (
    Batch,
    BatchResult,
    Older,
    Outcome,
    OwnedStore,
    PackedRow,
    Place,
    Put,
    ScrubPage,
    SealedRows,
    StoreStats,
)
from dualtrack.engine.stores.readers import Readers
from dualtrack.engine.stores.sealed import place_of
from dualtrack.engine.stripes import Stripes
from dualtrack.engine.summary import Summary
from dualtrack.engine.writer import Writer
from dualtrack.errors import StoreCorruptError, StoreError, StoreLockedError, StoreVersionError

DRAIN_BATCH = 256
DRAIN_GROUP = 32
"""Keys drained under one commit; writers of these wait for it."""
REPLACED = "replaced"
"""A file in a store that `rebuild` has put aside."""
_log = logging.getLogger(__name__)
Follow = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class OwnerSettings:
    """`mode` is None where a verb owns the store and no server runs. `map_size` 0 is as large as the disk."""

    drive_id: str = ""
    mode: Mode | None = None
    map_size: int = 0
    boot_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    #: Whether the row log that the store has must be there: who means to end it does without.
    needs_log: bool = True


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
        self._broken = False
        self._break_recorded = False
        self.stripes = Stripes()
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
            log = follow(store, needed=settings.needs_log)
            if log is not None:
                opened.append(log.close)
            store.open_term()
            journal = Journal.open(marker.control_directory(drive), store.drive_id) if drive else None
            if journal is not None:
                opened.append(journal.close)
                intents.recover(str(drive), journal)
            trust.settle(store, journal, drive, settings.mode)
            embedded = location.directory if location.driver is Driver.LMDB else ""
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
            journal_depth=self._journal.depth if self._journal is not None else 0,
            degraded=self._broken or self.meta(trust.UNMENDED) is not None,
            fence=self.store.fence(),
            trust_floor=self.trust_floor(),
        )

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

    def digest(self) -> Digest:
        return self.store.digest()

    def scrub(self, after: bytes) -> ScrubPage:
        return self.store.scrub(after)

    def scrub_meta(self) -> list[str]:
        return [name for name, value in self.store.scrub_meta() if value is None]

    def locked(self, places: Iterable[Place]) -> AbstractContextManager[None]:
        return self.stripes.locked(places)

    # -- the dirty journal -----------------------------------------------------------------------------------

    @property
    def broken(self) -> bool:
        """Whether rows may be older than files with no mark to say so: no read may come from the store."""
        return self._broken

    def mark(self, bucket: str, key: str) -> Token | None:
        """Record durably, before the file is renamed, that its row is about to be out of date.

        None where the journal cannot be written: the epoch is broken then, durably, reads no longer come from
        the store, and the write goes on. `StoreError` where the marker has gone to `KvOnly` meanwhile: the
        next server believes rows alone, and must not miss this write. The caller holds the key's stripe from
        here to the rename.
        """
        assert self._journal is not None
        if not self._broken:
            try:
                return self._journal.mark(bucket, key, self.next_generation())
            except OSError as error:
                self._broken = True
                _log.error("journal error=%s: epoch broken, reads from the store are off", error)
        if not self._break_recorded:
            self._journal.break_epoch()
            self._break_recorded = True
        if not is_system(bucket) and trust.holds_only_copy(self._drive):
            raise StoreError(f"{bucket}/{key}: the journal cannot be written, and rows alone are to answer")
        return None

    def intend(self, bucket: str, key: str, intent: bytes) -> Token:
        """A mark that carries an intent, durable on return. `StoreError` if it cannot be: the write must not
        go on. The caller holds the key's stripe."""
        assert self._journal is not None
        if self._broken:
            raise StoreError("the journal broke: start the server again once the drive can be written")
        try:
            return self._journal.mark(bucket, key, self.next_generation(), intent)
        except OSError as error:
            for token in self.intents(bucket, key):
                self.carried_out(token)  # not by this process; a flush that failed may have come through
            raise StoreError(f"the journal cannot be written: {error}") from error

    def intents(self, bucket: str, key: str) -> list[Token]:
        """Those of a key that are not carried out yet."""
        tokens = self._journal.tokens((bucket, key)) if self._journal is not None else ()
        return [token for token in tokens if token.note]

    def all_intents(self) -> list[Token]:
        return [token for place in self.dirty_places(sys.maxsize) for token in self.intents(*place)]

    def carried_out(self, token: Token) -> None:
        """The intent is done; the key stays dirty."""
        if self._journal is not None:
            self._journal.forget_note(token)

    def clear(self, *tokens: Token | None) -> None:
        """Forget marks whose rows are committed, or whose files were not changed after all."""
        if self._journal is not None:
            self._journal.clear(token for token in tokens if token is not None)

    def is_dirty(self, bucket: str, key: str) -> bool:
        return self._journal is not None and (bucket, key) in self._journal

    def dirty(self, places: Iterable[Place]) -> set[Place]:
        return {place for place in places if self.is_dirty(*place)}

    def dirty_places(self, limit: int) -> list[Place]:
        """Some of the dirty keys, for a verb that has to settle them first."""
        return list(islice(self._journal.places(), limit)) if self._journal is not None else []

    def dirty_since(self, moment: float) -> list[Place]:
        """The keys that have been dirty since `moment` of the monotonic clock, or longer."""
        return self._journal.places_since(moment) if self._journal is not None else []

    def drain(
        self,
        read: Callable[[str, str], RowDraft | None],
        limit: int = DRAIN_BATCH,
        chosen: Sequence[Place] | None = None,
        follow: Follow | None = None,
    ) -> int:
        """Bring up to `limit` dirty keys, or those `chosen`, into the store; returns how many were settled.

        `read(bucket, key)` reads the key's file as it is now; None says that there is none, which becomes a
        tombstone. Where the row is later than its file, it stays, and `follow(bucket, key)`, if given, brings
        the file up to it. An OSError from either leaves that key dirty. Stripe locks keep writers out
        meanwhile, so a mark is cleared only when the file that it announced has been read.
        """
        places = self.dirty_places(limit) if chosen is None else chosen[:limit]
        settled = 0
        for start in range(0, len(places), DRAIN_GROUP):
            group = places[start : start + DRAIN_GROUP]
            with self.stripes.locked(group):
                settled += self._drain_group(group, read, follow)
        return settled

    def _drain_group(
        self,
        places: Sequence[Place],
        read: Callable[[str, str], RowDraft | None],
        follow: Follow | None,
    ) -> int:
        """Read these keys' files and commit their rows in one flush; the caller holds their stripes."""
        assert self._journal is not None
        marks: list[tuple[Token, ...]] = []
        puts: list[Put] = []
        kept = 0
        rows_lead = trust.holds_only_copy(self._drive)
        files_taken = trust.files_taken(self._drive)
        for place in places:
            tokens = self._journal.tokens(place)
            if tokens and rows_lead and self._only_in_row(place, files_taken=files_taken):
                if _followed(place, follow):
                    self._journal.clear(tokens)
                    kept += 1
                continue
            put = self._row_of_file(place, read) if tokens else None
            if put is not None:
                marks.append(tokens)
                puts.append(put)
        if not puts:
            return kept
        outcomes = self._commit_sound(puts)
        settled = [
            tokens for tokens, outcome in zip(marks, outcomes, strict=True) if outcome is not Outcome.DIRTY
        ]
        for tokens in settled:
            self._journal.clear(tokens)
        return kept + len(settled)

    def _commit_sound(self, puts: Sequence[Put]) -> Sequence[Outcome]:
        """All at once; where a stored row is damaged, one by one, so that its key alone stays dirty."""
        try:
            return self.commit(Batch(puts=tuple(puts))).outcomes
        except StoreCorruptError:
            return [self._commit_alone(put) for put in puts]

    def _commit_alone(self, put: Put) -> Outcome:
        try:
            return self.commit(Batch(puts=(put,))).outcomes[0]
        except StoreCorruptError as error:
            _log.warning("drain error=%s: stays dirty and is read from its file", error)
            return Outcome.DIRTY

    def _only_in_row(self, place: Place, *, files_taken: bool) -> bool:
        """Whether, on a drive at `KvOnly` or beyond, the row wins over the mark's file, missing or not.

        It does where the row is of a write in `kv_only`, which marks nothing and leaves no file: so it is
        later than every mark; and once cleanup has taken files away, which it begins only with an empty
        journal, so that a mark can only be of a write that was cut off before its answer. Any other mark is
        of a write in `kv_primary`: the file may be the only place that has it, whatever the marker says now.
        """
        row = self.store.get(*place)
        if row is None or is_system(place[0]):
            return False
        return row.origin is RowOrigin.KV or files_taken

    def _row_of_file(self, place: Place, read: Callable[[str, str], RowDraft | None]) -> Put | None:
        """What the store has to hold for the file as it is now; None if the file cannot be read now."""
        generation = self.next_generation()
        try:
            draft = read(*place)
        except OSError as error:
            _log.warning("drain bucket=%s key=%s error=%s: stays dirty", *place, error)
            return None
        if draft is None:
            return Put(Row.tombstone(*place, generation), expect="any")
        return Put(Row.of(*place, generation, draft), draft.summary, "any", draft.versions)

    def close(self) -> None:
        self._writer.close()
        self.log.close()
        self.store.close()
        if self._journal is not None:
            self._journal.close()
        if self._lock is not None:
            os.close(self._lock)


def _followed(place: Place, follow: Follow | None) -> bool:
    """Whether nothing more is to be done for a row that is later than its file."""
    _log.warning("drain bucket=%s key=%s: the row is later and stays", *place)
    try:
        if follow is not None:
            follow(*place)
    except OSError as error:
        _log.warning("drain bucket=%s key=%s error=%s: its file stays behind its row, dirty", *place, error)
        return False
    return True


def lock_store(location: Location, *, replaced_too: bool = False) -> int | None:
    """None for a database that is read without its drive; it has a lock of its own."""
    store_dir = location.directory
    if not store_dir:
        return None
    if not replaced_too and os.path.lexists(os.path.join(store_dir, REPLACED)):
        raise StoreVersionError(
            f"{store_dir} was replaced by a rebuilt store (see its file {REPLACED!r}) and may be behind the "
            "drive; name the store that took its place"
        )
    files.ensure_directory(store_dir)
    path = os.path.join(store_dir, "owner.lock")
    lock = files.lock_file(path)
    if lock is None:
        with open(path, "rb") as file:
            holder = file.read(256).strip(b" \0").decode(errors="replace")
        raise StoreLockedError(
            f"{store_dir} is owned by another process ({holder or 'unknown'}); speak to it over its socket, "
            "or stop it first"
        )
    os.pwrite(lock, json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode().ljust(256), 0)
    return lock
