"""Rows in RocksDB: the only module that imports `rocksdict`.

One key space, a letter in front of each table's keys, so that one snapshot shows rows and index of the same
moment. What makes the binding safe here:

- Its iterators end early and silently at a damaged block: after one flipped bit 10,488 of 20,000 rows, and no
  error. So nothing iterates but `_Transaction.iterate`, which asks `status()` at the end, and `digest` holds
  what was read against the count of entries that commits keep.
- Every batch is one `WriteBatch` with `sync`. A log that is damaged anywhere but in its torn tail, which was
  never acknowledged, is refused at opening; RocksDB's default would drop what comes after the damage.
- Iterators and snapshots are gone before the database is closed; otherwise its lock would outlive it.

Errors are plain `Exception`s with RocksDB's text, so `_translated` has to look at how that begins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import rocksdict

from dualtrack.engine import files
from dualtrack.engine.stores import place
from dualtrack.engine.stores.gate import Gate
from dualtrack.engine.stores.location import ROCKSDB_FOLDER
from dualtrack.engine.stores.pending import Pending
from dualtrack.engine.stores.reading import REMEDY
from dualtrack.engine.stores.transaction import INDEX, META, ROWS
from dualtrack.engine.stores.writing import Writing
from dualtrack.errors import StoreCorruptError, StoreError, StoreFullError, StoreLockedError

_PREFIXES = {ROWS: b"r", INDEX: b"i", META: b"m"}
_OPEN_FILES = 512
_LOG_FILES = 4


class RocksDbStore(Writing):
    """See `KvStore`. `open_term` must have been called before anything is committed."""

    def __init__(self, directory: str, database: Any) -> None:
        super().__init__("", directory)
        self._database = database
        self._directory = directory
        self._sync = rocksdict.WriteOptions()
        self._sync.sync = True
        self._gate = Gate()

    @classmethod
    def open(cls, directory: str, drive_id: str = "", *, reading: bool = False) -> RocksDbStore:
        """Open or create the store in `directory`. An empty `drive_id` accepts a store of any drive.

        `reading`: beside others who do no more, and without RocksDB's own lock; no commit is possible.
        """
        folder = os.path.join(directory, ROCKSDB_FOLDER)
        if reading:
            with _translated(directory):
                access = rocksdict.AccessType.read_only(error_if_log_file_exist=False)
                found = cls(directory, rocksdict.Rdict(folder, _options(), access_type=access))
            return _kept(found, lambda: found.recognize(drive_id))
        files.ensure_directory(folder)
        place.refuse_unsound(folder)
        with _translated(directory):
            store = cls(directory, rocksdict.Rdict(folder, _options()))
        _kept(store, lambda: store.identify(drive_id))
        files.sync_directory(folder)
        return store

    def close(self) -> None:
        if self._gate.close():
            with _translated(self._directory):
                self._database.close()

    def _sizes(self) -> tuple[int, int, int]:
        with self._gate, _translated(self._directory):
            folder = os.path.join(self._directory, ROCKSDB_FOLDER)
            size = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
            memory = self._database.property_int_value("rocksdb.cur-size-all-mem-tables")
        status = os.statvfs(folder)
        used = max(size, int(memory))
        return used, used + status.f_bavail * status.f_frsize, size

    @contextmanager
    def _read(self) -> Iterator[_Transaction]:
        with self._gate, _translated(self._directory):
            txn = _Transaction(self._database)
            try:
                yield txn
            finally:
                txn.end()

    @contextmanager
    def _write(self) -> Iterator[Pending]:
        """One at a time: the owner's writer thread is the only one that commits."""
        with self._read() as before:
            txn = Pending(before)
            yield txn
            if not txn.changes:
                return
            batch = rocksdict.WriteBatch(raw_mode=True)
            for (table, key), value in txn.changes.items():
                if value is None:
                    batch.delete(_PREFIXES[table] + key)
                else:
                    batch.put(_PREFIXES[table] + key, value)
            self._database.write(batch, self._sync)


class _Transaction:
    """Single reads see the latest state; all `iterate` of one transaction share a snapshot."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._snapshot: Any = None

    def end(self) -> None:
        self._snapshot = None

    def get(self, table: str, key: bytes) -> bytes | None:
        value: bytes | None = self._database.get(_PREFIXES[table] + key)
        return value

    def get_many(self, table: str, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        wanted = list(keys)
        prefix = _PREFIXES[table]
        values = self._database.get([prefix + key for key in wanted]) if wanted else []
        return {key: value for key, value in zip(wanted, values, strict=True) if value is not None}

    def iterate(self, table: str, start: bytes, *, inclusive: bool) -> Iterator[tuple[bytes, bytes]]:
        if self._snapshot is None:
            self._snapshot = self._database.snapshot()
        prefix = _PREFIXES[table]
        iterator = self._snapshot.iter()
        iterator.seek(prefix + start + (b"" if inclusive else b"\0"))
        while iterator.valid():
            name = iterator.key()
            if name[:1] != prefix:
                break
            yield name[1:], iterator.value()
            iterator.next()
        iterator.status()


def _kept(store: RocksDbStore, check: Callable[[], None]) -> RocksDbStore:
    """The store, open as long as the check holds."""
    try:
        check()
    except BaseException:
        store.close()
        raise
    return store


def _options() -> Any:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_max_open_files(_OPEN_FILES)
    options.set_keep_log_file_num(_LOG_FILES)
    return options


@contextmanager
def _translated(directory: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if type(error) not in (Exception, rocksdict.DbClosedError):
            raise
        text = str(error)
        if text.startswith("Corruption"):
            raise StoreCorruptError(f"{directory}: {text}; {REMEDY}") from error
        if "No space left on device" in text:
            raise StoreFullError(
                f"the disk of {directory} is full; nothing was written: make room"
            ) from error
        if "/LOCK: " in text:
            raise StoreLockedError(f"{directory} is opened by another process; stop it first") from error
        raise StoreError(f"{directory}: {text}") from error
