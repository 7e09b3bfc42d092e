"""Rows in LMDB: the only module that imports `lmdb`.

What it adds to LMDB, which checks nothing and ends keys at 511 bytes: keys of any length in exact order
(`keys.py`, `table.py`), a look at file and file system before mapping (`place.py`), and short read
transactions, since one that stays open keeps every old page alive (`readers.py` looks after those of others).
Durability is LMDB's default (synced at
each commit) and cannot be relaxed. What makes a store of it is in `reading.py` and `writing.py`.

One process opens a store (see `owner.py`); an environment never crosses a fork.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lmdb

from dualtrack.engine import files
from dualtrack.engine.stores import envelope, place
from dualtrack.engine.stores.gate import Gate
from dualtrack.engine.stores.readers import Readers, ReaderTable
from dualtrack.engine.stores.table import Table
from dualtrack.engine.stores.transaction import INDEX, META, ROWS
from dualtrack.engine.stores.writing import Writing
from dualtrack.errors import StoreCorruptError, StoreError, StoreFullError

_CHILDREN = b"children"
_MODE = 0o640
_MAX_READERS = 510
"""More than this process has threads that read; each entry takes 64 bytes."""


class LmdbStore(Writing):
    """See `KvStore`. `open_term` must have been called before anything is committed."""

    def __init__(
        self, env: lmdb.Environment, tables: dict[str, Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__("", env.path())
        self._env = env
        self._path = env.path()
        self._databases = tables
        self._tables = {
            ROWS: Table(tables["rows"], tables["rows.long"]),
            INDEX: Table(tables["index"], tables["index.long"]),
            META: Table(tables["meta"], None),
        }
        self._gate = Gate()
        self._readers = ReaderTable(env, env.path(), clock)
        self._size = place.SizeGuard(env.path(), clock)

    @classmethod
    def open(
        cls,
        directory: str,
        drive_id: str = "",
        *,
        map_size: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> LmdbStore:
        """Open or create the store in `directory`. An empty `drive_id` accepts a store of any drive."""
        files.ensure_directory(directory)
        place.refuse_unsound(directory)
        place.refuse_truncated(directory)
        for name in (place.DATA_FILE, place.LOCK_FILE):
            files.make_empty(os.path.join(directory, name), _MODE)
        place.refuse_full(directory)
        with _translated(directory):
            env = lmdb.open(
                directory,
                map_size=map_size or place.default_map_size(directory),
                max_dbs=8,
                readahead=False,
                max_readers=_MAX_READERS,
                max_spare_txns=8,
                mode=_MODE,
            )
            try:
                names = ("rows", "rows.long", "index", "index.long", "meta")
                tables = {name: env.open_db(name.encode()) for name in names}
                store = cls(env, tables, clock)
            except BaseException:
                env.close()
                raise
            try:
                store.identify(drive_id)
            except BaseException:
                store.close()
                raise
        files.sync_directory(directory)
        return store

    def _sizes(self) -> tuple[int, int, int]:
        with self._gate, self.begin_reading() as txn:
            pages = 0
            for table in self._databases.values():
                stat = txn.stat(table)
                pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        used = pages * self._env.stat()["psize"]
        size = os.path.getsize(os.path.join(self._path, place.DATA_FILE))
        return used, self._env.info()["map_size"], size

    def close(self) -> None:
        """Wait for transactions under way: one that is cut off from its map would crash the process."""
        if self._gate.close():
            self._env.close()
            self._size.close()

    def _read(self) -> _Read:
        return _Read(self, self._gate)

    def transaction(self, txn: lmdb.Transaction) -> _Transaction:
        return _Transaction(txn, self._tables)

    def begin_reading(self) -> lmdb.Transaction:
        self._size.glance()
        try:
            return self._env.begin()
        except lmdb.ReadersFullError:
            self._readers.clear()
            return self._env.begin()

    @contextmanager
    def _write(self) -> Iterator[_Transaction]:
        with self._gate, _translated(self._path):
            self._readers.check()
            self._size.check()
            with self._env.begin(write=True) as txn:
                yield self.transaction(txn)

    def readers(self) -> Readers:
        with self._gate, _translated(self._path):
            return self._readers.now()


class _Read:
    """One read transaction; LMDB keeps those that ended and renews them. No generator, as `_write` is:
    getting into three of them takes longer than reading a row.
    """

    __slots__ = ("_gate", "_store", "_txn")

    def __init__(self, store: LmdbStore, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    def __enter__(self) -> _Transaction:
        self._gate.__enter__()
        try:
            self._txn = self._store.begin_reading()
        except BaseException as error:
            self._gate.__exit__()
            if isinstance(error, lmdb.Error):
                raise _named(self._store.name, error) from error
            raise
        return self._store.transaction(self._txn)

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        self._txn.abort()
        self._gate.__exit__()
        if isinstance(error, lmdb.Error):
            raise _named(self._store.name, error) from error


class _Transaction:
    """Full keys of any length over LMDB's short ones."""

    __slots__ = ("_tables", "_txn")

    def __init__(self, txn: lmdb.Transaction, tables: dict[str, Table]) -> None:
        self._txn = txn
        self._tables = tables

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._tables[table].get(self._txn, key)

    def get_many(self, table: str, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        return self._tables[table].get_many(self._txn, list(keys))

    def iterate(self, table: str, start: bytes, *, inclusive: bool) -> Iterator[tuple[bytes, bytes]]:
        return self._tables[table].iterate(self._txn, start, inclusive=inclusive)

    def names(self, table: str, start: bytes, limit: int, *, inclusive: bool) -> list[bytes]:
        return self._tables[table].names(
            self._txn, start, limit, inclusive=inclusive, branched=self._branched()
        )

    def values(self, table: str, first: bytes, count: int) -> list[bytes]:
        return self._tables[table].values(self._txn, first, count, branched=self._branched())

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._tables[table].put(self._txn, key, value, self._new_child)

    def put_many(self, table: str, items: list[tuple[bytes, bytes]]) -> None:
        self._tables[table].put_many(self._txn, items, self._new_child)

    def delete(self, table: str, key: bytes) -> None:
        self._tables[table].delete(self._txn, key)

    def _branched(self) -> bool:
        """Whether a branch was ever made: the number of children is written together with the first."""
        return self.get(META, _CHILDREN) is not None

    def _new_child(self) -> int:
        """Under which the rest of a long key lies; a meta value counts them."""
        stored = self.get(META, _CHILDREN)
        number = int(envelope.unpack_meta(_CHILDREN, stored)) + 1 if stored is not None else 1
        self.put(META, _CHILDREN, envelope.pack_meta(_CHILDREN, str(number).encode()))
        return number


@contextmanager
def _translated(directory: str) -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        raise _named(directory, error) from error


def _named(directory: str, error: lmdb.Error) -> StoreError:
    """What an error of LMDB means to whoever uses the store."""
    match error:
        case lmdb.MapFullError():
            return StoreFullError(
                f"the map of {directory} is full; nothing was written: stop the owner, open it with a larger "
                "map"
            )
        case (
            lmdb.CorruptedError()
            | lmdb.PageNotFoundError()
            | lmdb.InvalidError()
            | lmdb.VersionMismatchError()
        ):
            return StoreCorruptError(f"{directory}: {error}; use a snapshot, or rebuild it from the drive")
        case _ if isinstance(error, lmdb.DiskError) or os.strerror(errno.ENOSPC) in str(error):
            return StoreFullError(f"the disk of {directory} is full; nothing was written: make room")
        case _:
            return StoreError(f"{directory}: {error}")


def probe(directory: str) -> None:
    """Touch every page of a store; runs in a child process, which a missing page kills (see `place.py`)."""
    env = lmdb.open(directory, readonly=True, lock=False, max_dbs=8, readahead=True)
    with env.begin() as txn:
        for name in list(txn.cursor().iternext(keys=True, values=False)):
            table = env.open_db(name, txn, create=False)
            for _ in txn.cursor(db=table).iternext(keys=True, values=True):
                pass
