"""What a transaction reads, page by page, and how its changes are written: a few statements a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import psycopg

from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.postgresql.statements import Statements
from dualtrack.engine.stores.reading import REMEDY
from dualtrack.engine.stores.transaction import ROWS, TABLES
from dualtrack.errors import StoreCorruptError, StoreError

KEY_LIMIT = 2_600
_PAGE_ROWS = 1_000
_PAGE_BYTES = 8 * 1024 * 1024


class Transaction:
    def __init__(self, cursor: psycopg.Cursor[Any], statements: Statements) -> None:
        self._cursor = cursor
        self._statements = statements

    def get(self, table: str, key: bytes) -> bytes | None:
        row = self._cursor.execute(self._statements.get[table], (key,)).fetchone()
        return bytes(row[0]) if row else None

    def get_many(self, table: str, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        rows = self._cursor.execute(self._statements.get_many[table], (list(keys),)).fetchall()
        return {bytes(key): bytes(value) for key, value in rows}

    def iterate(self, table: str, start: bytes, *, inclusive: bool) -> Iterator[tuple[bytes, bytes]]:
        while True:
            page = self._cursor.execute(
                self._statements.page[table, inclusive], (start, _PAGE_ROWS, _PAGE_BYTES)
            ).fetchall()
            if not page:
                return
            for key, value in page:
                yield bytes(key), bytes(value)
            start, inclusive = bytes(page[-1][0]), False


def write_changes(
    cursor: psycopg.Cursor[Any], statements: Statements, changes: Mapping[tuple[str, bytes], bytes | None]
) -> None:
    """A few statements a table, each of not much more than `_PAGE_BYTES`."""
    for table in TABLES:
        removed = [key for (name, key), value in changes.items() if name == table and value is None]
        if removed:
            cursor.execute(statements.delete[table], (removed,))
        for keys, values in _portions(table, changes):
            if table != ROWS:
                cursor.execute(statements.put[table], (keys, values))
                continue
            generations = [envelope.generation(value) for value in values]
            cursor.execute(statements.put[ROWS], (keys, values, generations))
            if cursor.rowcount != len(keys):
                raise StoreCorruptError(
                    f"of {len(keys)} rows {len(keys) - cursor.rowcount} have a higher generation in their "
                    f"column than in their envelope; nothing was written; {REMEDY}"
                )


def _portions(
    table: str, changes: Mapping[tuple[str, bytes], bytes | None]
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    keys: list[bytes] = []
    values: list[bytes] = []
    size = 0
    for (name, key), value in changes.items():
        if name != table or value is None:
            continue
        if len(key) > KEY_LIMIT:
            raise StoreError(
                f"a key of {len(key)} bytes ({key[:80]!r}…) is longer than PostgreSQL can index "
                f"({KEY_LIMIT}); nothing was written: keep this drive's rows in an LMDB or RocksDB store"
            )
        keys.append(key)
        values.append(value)
        size += len(value)
        if size >= _PAGE_BYTES:
            yield keys, values
            keys, values, size = [], [], 0
    if keys:
        yield keys, values
