"""Rows in LMDB: the only module that imports `lmdb`, and the only one that writes a row.

What it adds to LMDB, which checks nothing and ends keys at 511 bytes: the envelope (`envelope.py`), keys of
any length in exact order (`keys.py`, `table.py`), one transaction for fence, compare-and-set, index, counters
and cursor, a look at file and file system before mapping (`place.py`), and short read transactions, since one
that stays open keeps every old page alive. Durability is LMDB's default (synced at each commit) and cannot be
relaxed.

One process opens a store (see `owner.py`); an environment never crosses a fork.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import uuid
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lmdb

from dualtrack.engine import files
from dualtrack.engine.rows import ZERO, Generation
from dualtrack.engine.stores import envelope, keys, place
from dualtrack.engine.stores.decide import Change, Counters, decide
from dualtrack.engine.stores.protocol import Batch, BatchResult, Place, StoreStats
from dualtrack.engine.stores.reading import READ_ROWS, Reading
from dualtrack.errors import (
    DualTrackError,
    FencedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreVersionError,
)

SCHEMA = 1
_COUNT = "count/"


class LmdbStore(Reading):
    """See `KvStore`. `open_term` must have been called before anything is committed."""

    def __init__(self, env: lmdb.Environment, drive_id: str, tables: dict[str, Any]) -> None:
        super().__init__(drive_id, tables)
        self._env = env
        self._path = env.path()
        self._tables = tables
        self._term = -1
        self._pid = os.getpid()
        self._idle = threading.Condition()
        self._active = 0
        self._closed = False

    @classmethod
    def open(cls, directory: str, drive_id: str = "", *, map_size: int = 0) -> LmdbStore:
        """Open or create the store in `directory`. An empty `drive_id` accepts a store of any drive."""
        files.ensure_directory(directory)
        place.refuse_unsound(directory)
        place.refuse_truncated(directory)
        with _translated(directory):
            env = lmdb.open(
                directory,
                map_size=map_size or place.default_map_size(directory),
                max_dbs=8,
                readahead=False,
                max_spare_txns=8,
                mode=0o640,
            )
            try:
                env.reader_check()
                names = ("rows", "rows.long", "index", "index.long", "meta")
                tables = {name: env.open_db(name.encode()) for name in names}
                store = cls(env, _identify(env, tables["meta"], drive_id, directory), tables)
            except BaseException:
                env.close()
                raise
        files.sync_directory(directory)
        return store

    @property
    def drive_id(self) -> str:
        return self._drive.decode()

    @property
    def term(self) -> int:
        return self._term

    def open_term(self) -> int:
        """Raise the store's term and commit under it from now on; every earlier opener is fenced off."""
        with self._write() as txn:
            self._term = int(self._get_meta(txn, "term") or b"0") + 1
            self._put_meta(txn, "term", str(self._term).encode())
        return self._term

    def begin(self, run_id: str, fence: int) -> int:
        """See `OwnerApi.begin`."""
        with self._write() as txn:
            self._check_term(txn)
            known = json.loads(self._get_meta(txn, "fence") or b'{"fence": 0, "runID": ""}')
            wanted = fence or known["fence"] + 1
            if wanted < known["fence"] or (wanted == known["fence"] and run_id != known["runID"]):
                raise FencedError(
                    f"run {run_id} has fence {wanted}, but run {known['runID']} has already begun with "
                    f"{known['fence']}; this run is obsolete and must end"
                )
            self._put_meta(txn, "fence", json.dumps({"fence": wanted, "runID": run_id}).encode())
        return int(wanted)

    def fence(self) -> int:
        value = self.meta("fence")
        return int(json.loads(value)["fence"]) if value else 0

    def commit(self, batch: Batch) -> BatchResult:
        result = self.commit_many([batch])[0]
        if isinstance(result, DualTrackError):
            raise result
        return result

    def commit_many(
        self, batches: Sequence[Batch], dirty: Container[Place] = ()
    ) -> list[BatchResult | DualTrackError]:
        """Several batches in one durable transaction; a refused one leaves no trace and stops no other."""
        results: list[BatchResult | DualTrackError] = []
        with self._write() as txn:
            for batch in batches:
                try:
                    results.append(self._commit_one(txn, batch, dirty))
                except (FencedError, StoreCorruptError, StoreVersionError) as error:
                    results.append(error)
        return results

    def _commit_one(self, txn: lmdb.Transaction, batch: Batch, dirty: Container[Place]) -> BatchResult:
        """Everything that can refuse comes before the first write."""
        self._check_term(txn)
        if batch.fence is not None:
            self._check_fence(txn, batch.fence)
        fulls = [keys.full_key(put.row.bucket, put.row.key) for put in batch.puts]
        stored = self._rows.get_many(txn, fulls)
        known = {full: envelope.unpack(self._drive, full, value) for full, value in stored.items()}
        floor = self._get_meta(txn, "trust_floor")
        trust = Generation.unpack(floor) if floor else ZERO
        outcomes, changes, counters = decide(self._drive, fulls, batch.puts, known, trust, dirty)
        self._apply(txn, changes, counters)
        for name, value in batch.meta.items():
            self._put_meta(txn, name, value)
        if batch.cursor:
            self._put_meta(txn, "cursor/" + batch.cursor[0], batch.cursor[1])
        return BatchResult(outcomes)

    def _apply(self, txn: lmdb.Transaction, changes: dict[bytes, Change], counters: Counters) -> None:
        def new_child() -> int:
            number = int(self._get_meta(txn, "children") or b"0") + 1
            self._put_meta(txn, "children", str(number).encode())
            return number

        for full in sorted(changes):
            change = changes[full]
            self._rows.put(txn, full, change.value, new_child)
            if change.index:
                self._index.put(txn, full, change.index, new_child)
            elif change.unlist:
                self._index.delete(txn, full)
        for bucket, (objects, versions) in counters.items():
            old = json.loads(self._get_meta(txn, _COUNT + bucket) or b"[0, 0]")
            total = [old[0] + objects, old[1] + versions]
            self._put_meta(txn, _COUNT + bucket, json.dumps(total).encode() if any(total) else None)

    def stats(self) -> StoreStats:
        counts: dict[str, tuple[int, int]] = {}
        after = None
        while page := self.meta_scan(_COUNT, after, READ_ROWS):
            counts.update((name[len(_COUNT) :], tuple(json.loads(value))) for name, value in page)
            after = page[-1][0]
        with self._read() as txn:
            pages = 0
            for table in self._tables.values():
                stat = txn.stat(table)
                pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        info = self._env.info()
        return StoreStats(
            {bucket: count[0] for bucket, count in counts.items()},
            {bucket: count[1] for bucket, count in counts.items()},
            pages * self._env.stat()["psize"],
            info["map_size"],
            os.path.getsize(os.path.join(self._path, place.DATA_FILE)),
        )

    def close(self) -> None:
        """Wait for transactions under way: one that is cut off from its map would crash the process."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: self._active == 0)
        self._env.close()

    def _check_term(self, txn: lmdb.Transaction) -> None:
        term = int(self._get_meta(txn, "term") or b"0")
        if term != self._term:
            raise FencedError(
                f"this process opened the store in term {self._term}, but it is in term {term}: another "
                "owner has taken over and this one must end"
            )

    def _check_fence(self, txn: lmdb.Transaction, fence: int) -> None:
        known = json.loads(self._get_meta(txn, "fence") or b'{"fence": 0, "runID": ""}')
        if fence != known["fence"]:
            raise FencedError(
                f"this run has fence {fence}, but the store is at {known['fence']} (run {known['runID']}); "
                "this run is obsolete and must end"
            )

    def _put_meta(self, txn: lmdb.Transaction, name: str, value: bytes | None) -> None:
        encoded = os.fsencode(name)
        if value is None:
            txn.delete(encoded, db=self._meta)
        else:
            txn.put(encoded, envelope.pack_meta(encoded, value), db=self._meta)

    @contextmanager
    def _read(self) -> Iterator[lmdb.Transaction]:
        with self._transaction(write=False) as txn:
            yield txn

    @contextmanager
    def _write(self) -> Iterator[lmdb.Transaction]:
        with self._transaction(write=True) as txn:
            yield txn

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[lmdb.Transaction]:
        if os.getpid() != self._pid:
            raise StoreError("the store was opened by another process; open it again after a fork")
        with self._idle:
            if self._closed:
                raise StoreError("the store is closed; open it again")
            self._active += 1
        try:
            with _translated(self._path), self._env.begin(write=write) as txn:
                yield txn
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()


def _identify(env: lmdb.Environment, meta: Any, drive_id: str, directory: str) -> str:
    """Check, or write into a new store, whose rows these are. Returns the drive id of the store."""
    with env.begin(write=True) as txn:

        def value(name: bytes, default: bytes) -> str:
            stored = txn.get(name, db=meta)
            if stored is None:
                txn.put(name, envelope.pack_meta(name, default), db=meta)
                return default.decode()
            return envelope.unpack_meta(name, stored).decode()

        schema = int(value(b"schema", str(SCHEMA).encode()))
        known_drive = value(b"drive_id", drive_id.encode())
        value(b"store_uuid", str(uuid.uuid4()).encode())
    if schema > SCHEMA:
        raise StoreVersionError(
            f"{directory} has schema {schema}, this build knows {SCHEMA}; use a newer one"
        )
    if drive_id and known_drive != drive_id:
        raise StoreVersionError(
            f"{directory} is the store of drive {known_drive or '(none)'}, not of {drive_id}; "
            "give the --store that belongs to this --drive"
        )
    return known_drive


@contextmanager
def _translated(directory: str) -> Iterator[None]:
    try:
        yield
    except lmdb.MapFullError as error:
        raise StoreFullError(
            f"the map of {directory} is full; nothing was written: stop the owner, open it with a larger map"
        ) from error
    except (
        lmdb.CorruptedError,
        lmdb.PageNotFoundError,
        lmdb.InvalidError,
        lmdb.VersionMismatchError,
    ) as error:
        raise StoreCorruptError(
            f"{directory}: {error}; use a snapshot, or rebuild it from the drive"
        ) from error
    except lmdb.DiskError as error:
        raise StoreFullError(f"the disk of {directory} is full; nothing was written: make room") from error
    except lmdb.Error as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise StoreFullError(
                f"the disk of {directory} is full; nothing was written: make room"
            ) from error
        raise StoreError(f"{directory}: {error}") from error


def probe(directory: str) -> None:
    """Touch every page of a store; runs in a child process, which a missing page kills (see `place.py`)."""
    env = lmdb.open(directory, readonly=True, lock=False, max_dbs=8, readahead=True)
    with env.begin() as txn:
        for name in list(txn.cursor().iternext(keys=True, values=False)):
            table = env.open_db(name, txn, create=False)
            for _ in txn.cursor(db=table).iternext(keys=True, values=True):
                pass
