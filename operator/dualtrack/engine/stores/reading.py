"""The reading half of a store over ordered tables: every value verified before anybody sees it.

Knows tables and transactions, not the library behind them. Each call is one short transaction, because one
that stays open keeps every page alive that writers have replaced since.

`entries` is a meta value that counts the entries of both tables by another way than reading them: it changes
in the transaction that adds or removes one. A scan that ended early, or a page that fell out of a tree, has
no other witness: a checksum proves only what is still there.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice, takewhile

from dualtrack.engine.digests import Digest, DigestSum
from dualtrack.engine.native.index import checked, listed
from dualtrack.engine.rows import Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.protocol import Entries, Older, PackedRow, Place, ScrubPage
from dualtrack.engine.stores.scrubbing import check_page
from dualtrack.engine.stores.transaction import INDEX, META, ROWS, Transaction, columns
from dualtrack.engine.summary import Summary
from dualtrack.errors import IncompleteError, StoreCorruptError

READ_ROWS = 5_000
READ_BYTES = 16 * 1024 * 1024
PAGE_PART = 32
REMEDY = "rebuild the store from the drive while no file has been cleaned up, or use a snapshot"


ENTRIES = b"entries"


def pack_entries(entries: Entries) -> bytes:
    return json.dumps([entries.rows, entries.index, entries.changes]).encode()


class Reading:
    def __init__(self, drive_id: str, name: str) -> None:
        """`name` is what messages call the store; it holds no secret."""
        self._drive = drive_id.encode()
        self.name = name

    @property
    def drive_id(self) -> str:
        return self._drive.decode()

    def _read(self) -> AbstractContextManager[Transaction]:
        """A read transaction; the store behind gives it."""
        raise TypeError("a store defines its own transactions")

    def get(self, bucket: str, key: str) -> Row | None:
        full = keys.full_key(bucket, key)
        with self._read() as txn:
            value = txn.get(ROWS, full)
        return None if value is None else envelope.unpack_row(self._drive, full, value)

    def get_many(self, places: Sequence[Place]) -> list[Row | None]:
        fulls = [keys.full_key(*each) for each in places]
        with self._read() as txn:
            found = txn.get_many(ROWS, fulls)
        return [
            envelope.unpack_row(self._drive, full, found[full]) if full in found else None for full in fulls
        ]

    def scan(self, after: Place | None, limit: int) -> list[Row]:
        page = self.scan_packed(after, limit)
        return [envelope.unpack_row(self._drive, full, value) for full, value in page]

    def scan_packed(self, after: Place | None, limit: int) -> list[PackedRow]:
        with self._read() as txn:
            return self._page(txn, keys.full_key(*after) if after else b"", limit)

    def raw(self, table: str, after: bytes | None) -> list[tuple[bytes, bytes]]:
        """A page of any table's entries as they lie there, verified by nobody; empty at the end."""
        page: list[tuple[bytes, bytes]] = []
        size = 0
        with self._read() as txn:
            for entry in islice(txn.iterate(table, after or b"", inclusive=after is None), READ_ROWS):
                page.append(entry)
                size += len(entry[1])
                if size > READ_BYTES:
                    break
        return page

    def scan_older(self, after: Place | None, than: Generation, trust: Generation, limit: int) -> Older:
        with self._read() as txn:
            page = self._page(txn, keys.full_key(*after) if after else b"", limit)
        if not page:
            return Older((), {}, None)
        bound, floor = than.pack(), trust.pack()
        rows: list[Row] = []
        newer: Counter[bytes] = Counter()
        damaged: list[Place] = []
        for full, value in page:
            try:
                state, origin, generation = envelope.glance(full, value)
                if generation >= floor and (state == RowState.TOMBSTONE or origin == RowOrigin.KV):
                    continue
                if generation < bound:
                    rows.append(envelope.unpack_row(self._drive, full, value))
                elif state != RowState.TOMBSTONE:
                    newer[full[: full.find(b"\0")]] += 1
            except StoreCorruptError:
                damaged.append(keys.split_full(full))
        counts = {os.fsdecode(bucket): count for bucket, count in newer.items()}
        return Older(tuple(rows), counts, keys.split_full(page[-1][0]), tuple(damaged))

    def _page(self, txn: Transaction, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Raw rows after `start`, at most `limit`, and not much more than `READ_BYTES`."""
        page: list[tuple[bytes, bytes]] = []
        size, most = 0, min(limit, READ_ROWS)
        rows = txn.iterate(ROWS, start, inclusive=False) if most > 0 else iter(())
        while part := list(islice(rows, min(most - len(page), PAGE_PART))):
            page += part
            size += sum(len(value) for _, value in part)
            if size > READ_BYTES:
                break
        return page

    def scan_index(self, bucket: str, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        page: list[tuple[str, bytes]] = []
        with self._read() as txn:
            for fulls, values in self._index_page(txn, bucket, prefix, after, limit):
                page += checked(self._drive, fulls, values)
        return page

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]:
        page: list[tuple[str, Summary]] = []
        with self._read() as txn:
            for fulls, values in self._index_page(txn, bucket, prefix, after, limit):
                page += listed(self._drive, fulls, values)
        return page

    def _index_page(
        self, txn: Transaction, bucket: str, prefix: str, after: str | None, limit: int
    ) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Full keys and entries in parts, verified by nobody yet."""
        within = keys.full_key(bucket, prefix)
        start = max(within, keys.full_key(bucket, after)) if after is not None else within
        inclusive = after is None or start != keys.full_key(bucket, after)
        return columns(txn, INDEX, start, limit, inclusive=inclusive, within=within)

    def meta(self, name: str) -> bytes | None:
        with self._read() as txn:
            return self._get_meta(txn, name)

    def meta_scan(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        start = os.fsencode(prefix)
        seek = max(start, os.fsencode(after)) if after is not None else start
        found: list[tuple[str, bytes]] = []
        with self._read() as txn:
            for name, value in txn.iterate(META, seek, inclusive=after is None or seek != os.fsencode(after)):
                if not name.startswith(start) or len(found) >= limit:
                    break
                found.append((os.fsdecode(name), envelope.unpack_meta(name, value)))
        return found

    def digest(self, stop: Callable[[], bool] = lambda: False) -> Digest:
        """Also proves that rows and index entries belong together, one by one, with none left over, and that
        as many were read as were ever written."""
        total = DigestSum()
        start = b""
        before = self.entries()
        rows = entries = 0
        while True:
            if stop():
                raise IncompleteError("interrupted")
            with self._read() as txn:
                page = self._page(txn, start, READ_ROWS)
                index = self._entries_until(txn, start, page[-1][0] if page else None)
            rows += len(page)
            entries += len(index)
            for full, value in page:
                stored = envelope.unpack(self._drive, full, value)
                self._compare_index(full, stored.summary_check, index.pop(full, None))
                if stored.row.present:
                    total.add(stored.row.bucket, stored.row.key, stored.row.data)
            for full, entry in index.items():
                self._compare_index(full, 0, entry)
            if not page:
                break
            start = page[-1][0]
        self._compare_entries(before, rows, entries)
        return total.value()

    def scrub(self, after: bytes) -> ScrubPage:
        with self._read() as txn:
            page = self._page(txn, after, READ_ROWS)
            index = self._entries_until(txn, after, page[-1][0] if page else None)
            entries = self._entries(txn)
        damaged = check_page(self._drive, page, index)
        return ScrubPage(page[-1][0] if page else b"", len(page), len(index), damaged, entries)

    def scrub_meta(self) -> list[tuple[str, bytes | None]]:
        with self._read() as txn:
            stored = list(txn.iterate(META, b"", inclusive=True))
        found: list[tuple[str, bytes | None]] = []
        for name, value in stored:
            try:
                found.append((os.fsdecode(name), envelope.unpack_meta(name, value)))
            except StoreCorruptError:
                found.append((os.fsdecode(name), None))
        return found

    def entries(self) -> Entries:
        with self._read() as txn:
            return self._entries(txn)

    def _entries(self, txn: Transaction) -> Entries:
        value = self._get_meta(txn, ENTRIES.decode())
        if value is None:
            raise StoreCorruptError(f"{self.name}: its count of entries is gone; {REMEDY}")
        return Entries(*json.loads(value))

    def _compare_entries(self, before: Entries, rows: int, index: int) -> None:
        """Only where nothing was added or removed meanwhile; then every entry must have been met."""
        if self.entries() == before and (rows, index) != (before.rows, before.index):
            raise StoreCorruptError(
                f"{self.name} holds {before.rows} rows and {before.index} index entries by its own count, "
                f"but {rows} and {index} could be read; {REMEDY}"
            )

    def _entries_until(self, txn: Transaction, start: bytes, last: bytes | None) -> dict[bytes, bytes]:
        """Index entries after `start` up to and with `last`, or to the end."""
        entries = txn.iterate(INDEX, start, inclusive=False)
        return dict(takewhile(lambda entry: last is None or entry[0] <= last, entries))

    def _compare_index(self, full: bytes, expected: int, entry: bytes | None) -> None:
        check = envelope.unpack_index(self._drive, full, entry)[1] if entry is not None else 0
        if check != expected:
            bucket, key = keys.split_full(full)
            raise StoreCorruptError(f"row and index entry of {bucket}/{key} do not belong together; {REMEDY}")

    def _get_meta(self, txn: Transaction, name: str) -> bytes | None:
        encoded = os.fsencode(name)
        stored = txn.get(META, encoded)
        return None if stored is None else envelope.unpack_meta(encoded, stored)
