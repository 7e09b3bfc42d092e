"""The store itself: one writing connection, which owns the schema, and a few for reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors

from dualtrack.engine.stores.gate import Gate
from dualtrack.engine.stores.location import Location
from dualtrack.engine.stores.pending import Pending
from dualtrack.engine.stores.postgresql.connection import connect, own, refuse_loss, translated
from dualtrack.engine.stores.postgresql.schemas import refuse_replaced
from dualtrack.engine.stores.postgresql.statements import Statements
from dualtrack.engine.stores.postgresql.transaction import Transaction, write_changes
from dualtrack.engine.stores.transaction import TABLES
from dualtrack.engine.stores.writing import Writing
from dualtrack.errors import StoreError, UsageError

_ATTEMPTS = 8
_IDLE = 8
_TERM = b"term"
_Result = TypeVar("_Result")


class PostgresStore(Writing):
    """See `KvStore`. `open_term` must have been called before anything is committed."""

    def __init__(self, location: Location, schema: str, writer: psycopg.Connection[Any]) -> None:
        super().__init__("", f"{location} schema {schema}")
        self._location = location
        self._schema = schema
        self._writer = writer
        self._idle: list[psycopg.Connection[Any]] = []
        self._statements = Statements(schema)
        self._gate = Gate()

    @classmethod
    def open(cls, location: Location, drive_id: str = "", *, reading: bool = False) -> PostgresStore:
        """Open or create the drive's schema, and own it. An empty `drive_id` needs `schema=` in the URL.

        `reading`: beside its owner, if there is one, and whoever else looks; nothing is created.
        """
        schema = location.schema_of(drive_id)
        if not schema:
            raise UsageError(f"--store {location}: without a drive, add schema=NAME to the URL")
        writer = connect(location)
        try:
            with translated(str(location)):
                store = cls(location, schema, writer)
                if reading:
                    return _recognized(store, drive_id)
                refuse_loss(writer, str(location))
                own(writer, schema, str(location))
                refuse_replaced(writer, schema, str(location))
                store.create()
            store.identify(drive_id)
        except BaseException:
            writer.close()
            raise
        return store

    def create(self) -> None:
        """The schema and its tables, where they are missing."""
        with self._writer.transaction():
            for statement in self._statements.create:
                self._writer.execute(statement)
            found = self._writer.execute(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relpersistence <> 'p'",
                (self._schema, list(TABLES)),
            ).fetchall()
        if found:
            raise StoreError(f"{self.name}: table {found[0][0]} is unlogged and would not survive a crash")

    def close(self) -> None:
        if self._gate.close():
            with suppress(psycopg.Error):  # a lost connection has lost its lock, too
                self._writer.execute("SELECT pg_advisory_unlock_all()")
            for connection in (*self._idle, self._writer):
                connection.close()

    def _sizes(self) -> tuple[int, int, int]:
        with self._gate, translated(self.name), self._borrowed() as connection:
            row = connection.execute(
                "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'",
                (self._schema,),
            ).fetchone()
        used = int(row[0] or 0) if row else 0
        return used, 0, used

    def _change(self, work: Callable[[Any], _Result]) -> _Result:
        for attempt in range(_ATTEMPTS):
            try:
                return super()._change(work)
            except (errors.SerializationFailure, errors.DeadlockDetected) as error:
                if attempt + 1 == _ATTEMPTS:
                    raise StoreError(
                        f"{self.name}: {_ATTEMPTS} attempts met another writer; nothing was written: see "
                        "which other process writes these tables"
                    ) from error
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _read(self) -> Iterator[Transaction]:
        with (
            self._gate,
            translated(self.name),
            self._borrowed() as connection,
            connection.transaction(),
        ):
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield Transaction(connection.cursor(binary=True), self._statements)

    @contextmanager
    def _write(self) -> Iterator[Pending]:
        with self._gate, translated(self.name), self._writer.transaction():
            self._writer.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._writer.execute(self._statements.lock, (_TERM,))
            cursor = self._writer.cursor(binary=True)
            txn = Pending(Transaction(cursor, self._statements))
            yield txn
            write_changes(cursor, self._statements, txn.changes)

    @contextmanager
    def _borrowed(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for reading; a few are kept."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect(self._location)
        try:
            yield connection
        finally:
            if connection.broken or len(self._idle) >= _IDLE:
                connection.close()
            else:
                self._idle.append(connection)


def _recognized(store: PostgresStore, drive_id: str) -> PostgresStore:
    try:
        store.recognize(drive_id)
    except BaseException:
        store.close()
        raise
    return store
