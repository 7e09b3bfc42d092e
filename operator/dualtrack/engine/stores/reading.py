"""The reading half of a store over ordered tables: every value verified before anybody sees it.

Knows tables and transactions, not the library behind them. Each call is one short transaction, because one
that stays open keeps every page alive that writers have replaced since.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import islice, takewhile
from typing import Any

from dualtrack.engine.digests import DigestSum
from dualtrack.engine.rows import Row
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.protocol import Digest, Place
from dualtrack.engine.stores.table import Table, Transaction
from dualtrack.errors import StoreCorruptError

READ_ROWS = 5_000
READ_BYTES = 16 * 1024 * 1024


class Reading:
    def __init__(self, drive_id: str, tables: dict[str, Any]) -> None:
        self._drive = drive_id.encode()
        self._rows = Table(tables["rows"], tables["rows.long"])
        self._index = Table(tables["index"], tables["index.long"])
        self._meta: Any = tables["meta"]

    def _read(self) -> AbstractContextManager[Transaction]:
        """A read transaction; the store behind gives it."""
        raise TypeError("a store defines its own transactions")

    def get(self, bucket: str, key: str) -> Row | None:
        full = keys.full_key(bucket, key)
        with self._read() as txn:
            value = self._rows.get(txn, full)
        return None if value is None else envelope.unpack(self._drive, full, value).row

    def get_many(self, places: Sequence[Place]) -> list[Row | None]:
        fulls = [keys.full_key(*each) for each in places]
        with self._read() as txn:
            found = self._rows.get_many(txn, fulls)
        return [
            envelope.unpack(self._drive, full, found[full]).row if full in found else None for full in fulls
        ]

    def scan(self, after: Place | None, limit: int) -> list[Row]:
        with self._read() as txn:
            page = self._page(txn, keys.full_key(*after) if after else b"", limit)
        return [envelope.unpack(self._drive, full, value).row for full, value in page]

    def _page(self, txn: Transaction, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Raw rows after `start`, at most `limit`, and not much more than `READ_BYTES`."""
        page: list[tuple[bytes, bytes]] = []
        size = 0
        if limit <= 0:
            return page
        for full, value in self._rows.iterate(txn, start, inclusive=False):
            page.append((full, value))
            size += len(value)
            if len(page) >= min(limit, READ_ROWS) or size > READ_BYTES:
                break
        return page

    def scan_index(self, bucket: str, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        within = keys.full_key(bucket, prefix)
        start = max(within, keys.full_key(bucket, after)) if after is not None else within
        inclusive = after is None or start != keys.full_key(bucket, after)
        found: list[tuple[str, bytes]] = []
        skip, drive = len(os.fsencode(bucket)) + 1, self._drive
        with self._read() as txn:
            for full, value in islice(self._index.iterate(txn, start, inclusive=inclusive), limit):
                if not full.startswith(within):
                    break
                summary = envelope.index_summary(drive, full, value)
                found.append((full[skip:].decode("utf-8", "surrogateescape"), summary))
        return found

    def meta(self, name: str) -> bytes | None:
        with self._read() as txn:
            return self._get_meta(txn, name)

    def meta_scan(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        start = os.fsencode(prefix)
        seek = max(start, os.fsencode(after)) if after is not None else start
        found: list[tuple[str, bytes]] = []
        with self._read() as txn:
            cursor = txn.cursor(db=self._meta)
            if not cursor.set_range(seek):
                return found
            for name, value in cursor.iternext(keys=True, values=True):
                if not name.startswith(start) or len(found) >= limit:
                    break
                if after is None or name != os.fsencode(after):
                    found.append((os.fsdecode(name), envelope.unpack_meta(name, value)))
        return found

    def digest(self) -> Digest:
        """Also proves that rows and index entries belong together, one by one, with none left over."""
        total = DigestSum()
        start = b""
        while True:
            with self._read() as txn:
                page = self._page(txn, start, READ_ROWS)
                index = self._entries_until(txn, start, page[-1][0] if page else None)
            for full, value in page:
                stored = envelope.unpack(self._drive, full, value)
                self._compare_index(full, stored.summary_check, index.pop(full, None))
                if stored.row.present:
                    total.add(stored.row.bucket, stored.row.key, stored.row.data)
            for full, entry in index.items():
                self._compare_index(full, 0, entry)
            if not page:
                return total.value()
            start = page[-1][0]

    def _entries_until(self, txn: Transaction, start: bytes, last: bytes | None) -> dict[bytes, bytes]:
        """Index entries after `start` up to and with `last`, or to the end."""
        entries = self._index.iterate(txn, start, inclusive=False)
        return dict(takewhile(lambda entry: last is None or entry[0] <= last, entries))

    def _compare_index(self, full: bytes, expected: int, entry: bytes | None) -> None:
        check = envelope.unpack_index(self._drive, full, entry)[1] if entry is not None else 0
        if check != expected:
            bucket, key = keys.split_full(full)
            raise StoreCorruptError(
                f"row and index entry of {bucket}/{key} do not belong together; "
                "rebuild the store from the drive, or use a snapshot"
            )

    def _get_meta(self, txn: Transaction, name: str) -> bytes | None:
        encoded = os.fsencode(name)
        stored = txn.get(encoded, db=self._meta)
        return None if stored is None else envelope.unpack_meta(encoded, stored)
