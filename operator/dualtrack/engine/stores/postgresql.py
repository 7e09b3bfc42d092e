"""Rows in PostgreSQL: the only module that imports `psycopg`.

One schema a drive, three tables of `bytea` (which sorts by bytes, whatever the collation). Safe because:

- The owner holds a session advisory lock on its one writing connection. When that connection is lost, so is
  the ownership: nothing is retried, the owner has to be opened again, under a new term.
- Each write transaction first locks the row of the term `FOR UPDATE`, so that two owners never overlap, and a
  row is only ever replaced by one of a higher generation, which the statement itself demands.
- A server that may lose what it acknowledged (`fsync`, `full_page_writes` or `synchronous_commit` off, an
  unlogged table, a standby) is refused.
- Serialisation failures and deadlocks, where nothing was written, are tried again; all else that goes wrong
  is an error. After a lost connection a commit may or may not have taken effect, and the error says so.

Limits: a key of 2,600 bytes (an index entry must fit a third of a page; S3 ends keys at 1,024), a value of 1
GB, of which a statement needs several copies in memory on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors, sql

from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.gate import Gate
from dualtrack.engine.stores.location import Location
from dualtrack.engine.stores.pending import Pending
from dualtrack.engine.stores.reading import REMEDY
from dualtrack.engine.stores.transaction import INDEX, META, ROWS, TABLES
from dualtrack.engine.stores.writing import Writing
from dualtrack.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreVersionError,
    UsageError,
)

KEY_LIMIT = 2_600
_ATTEMPTS = 8
_CONNECT_SECONDS = 10
_IDLE = 8
_PAGE_ROWS = 1_000
_PAGE_BYTES = 8 * 1024 * 1024
_DURABLE = {"fsync": ("on",), "full_page_writes": ("on",)}
_ACKNOWLEDGED = ("on", "local", "remote_write", "remote_apply")
_TERM = b"term"
_Result = TypeVar("_Result")

_BUILDING, _REPLACED = "building", "replaced"
"""Empty tables that say what a schema is: not finished yet, or put aside by a rebuild."""


class PostgresStore(Writing):
    """See `KvStore`. `open_term` must have been called before anything is committed."""

    def __init__(self, location: Location, schema: str, writer: psycopg.Connection[Any]) -> None:
        super().__init__("", f"{location} schema {schema}")
        self._location = location
        self._schema = schema
        self._writer = writer
        self._idle: list[psycopg.Connection[Any]] = []
        self._statements = _Statements(schema)
        self._gate = Gate()

    @classmethod
    def open(cls, location: Location, drive_id: str = "", *, reading: bool = False) -> PostgresStore:
        """Open or create the drive's schema, and own it. An empty `drive_id` needs `schema=` in the URL.

        `reading`: beside its owner, if there is one, and whoever else looks; nothing is created.
        """
        schema = location.schema or (drive_id and "dualtrack_" + drive_id.replace("-", "_"))
        if not schema:
            raise UsageError(f"--store {location}: without a drive, add schema=NAME to the URL")
        writer = _connect(location)
        try:
            with _translated(str(location)):
                store = cls(location, schema, writer)
                if reading:
                    return _recognized(store, drive_id)
                _refuse_loss(writer, str(location))
                _own(writer, schema, str(location))
                _refuse_replaced(writer, schema, str(location))
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
        with self._gate, _translated(self.name), self._borrowed() as connection:
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
    def _read(self) -> Iterator[_Transaction]:
        with (
            self._gate,
            _translated(self.name),
            self._borrowed() as connection,
            connection.transaction(),
        ):
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield _Transaction(connection.cursor(binary=True), self._statements)

    @contextmanager
    def _write(self) -> Iterator[Pending]:
        with self._gate, _translated(self.name), self._writer.transaction():
            self._writer.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._writer.execute(self._statements.lock, (_TERM,))
            cursor = self._writer.cursor(binary=True)
            txn = Pending(_Transaction(cursor, self._statements))
            yield txn
            _write_changes(cursor, self._statements, txn.changes)

    @contextmanager
    def _borrowed(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for reading; a few are kept."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _connect(self._location)
        try:
            yield connection
        finally:
            if connection.broken or len(self._idle) >= _IDLE:
                connection.close()
            else:
                self._idle.append(connection)


class _Statements:
    """The SQL, with the schema's name in it. Values always travel as parameters, in binary."""

    def __init__(self, schema: str) -> None:
        name = sql.Identifier(schema)

        def of(text: str, table: str = META) -> sql.Composed:
            return sql.SQL(text).format(schema=name, table=sql.Identifier(schema, table))

        self.create = [
            of("CREATE SCHEMA IF NOT EXISTS {schema}"),
            *(
                of("CREATE TABLE IF NOT EXISTS {table} (key bytea PRIMARY KEY, value bytea NOT NULL)", table)
                for table in (INDEX, META)
            ),
            of(
                "CREATE TABLE IF NOT EXISTS {table} "
                "(key bytea PRIMARY KEY, generation bytea NOT NULL, value bytea NOT NULL)",
                ROWS,
            ),
        ]
        self.lock = of("SELECT value FROM {table} WHERE key = %b FOR UPDATE")
        self.get = {table: of("SELECT value FROM {table} WHERE key = %b", table) for table in TABLES}
        self.get_many = {
            table: of("SELECT key, value FROM {table} WHERE key = ANY(%b)", table) for table in TABLES
        }
        self.delete = {table: of("DELETE FROM {table} WHERE key = ANY(%b)", table) for table in TABLES}
        self.put = {
            table: of(
                "INSERT INTO {table} (key, value) SELECT * FROM unnest(%b::bytea[], %b::bytea[]) "
                "ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
                table,
            )
            for table in (INDEX, META)
        }
        self.put[ROWS] = of(
            "INSERT INTO {table} AS old (key, value, generation) "
            "SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[]) ON CONFLICT (key) DO "
            "UPDATE SET generation = EXCLUDED.generation, value = EXCLUDED.value "
            "WHERE old.generation < EXCLUDED.generation",
            ROWS,
        )
        # The inner query counts how much a page would weigh, so that a few huge values come one by one.
        self.page = {
            (table, inclusive): of(
                "SELECT key, value FROM (SELECT key, value, sum(length(value)) OVER (ORDER BY key) AS size "
                f"FROM (SELECT key, value FROM {{table}} WHERE key {'>=' if inclusive else '>'} %b "
                "ORDER BY key LIMIT %b) AS head) AS page WHERE size - length(value) < %b ORDER BY key",
                table,
            )
            for table in TABLES
            for inclusive in (True, False)
        }


class _Transaction:
    def __init__(self, cursor: psycopg.Cursor[Any], statements: _Statements) -> None:
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


def _write_changes(
    cursor: psycopg.Cursor[Any], statements: _Statements, changes: Mapping[tuple[str, bytes], bytes | None]
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


def _refuse_replaced(connection: psycopg.Connection[Any], schema: str, name: str) -> None:
    if _has_table(connection, schema, _REPLACED):
        raise StoreVersionError(
            f"schema {schema} of {name} was replaced by a rebuilt store and may be behind the drive; name "
            "the schema that took its place"
        )


def begin_schema(location: Location, schema: str) -> None:
    """A new schema with a mark that it is not finished. What an earlier run left unfinished goes; any other
    schema of that name is refused."""
    discard_schema(location, schema)
    with _alone(location, schema) as connection:
        if _has_schema(connection, schema):
            raise StoreError(f"{location}: schema {schema} is in the way; move it away, then run this again")
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("CREATE TABLE {} ()").format(sql.Identifier(schema, _BUILDING)))


def discard_schema(location: Location, schema: str) -> None:
    """Remove a schema that was never finished: our tables, then the empty schema, or nothing at all."""
    with _alone(location, schema) as connection:
        if not _has_table(connection, schema, _BUILDING):
            return
        for table in (*TABLES, _BUILDING):
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, table)))
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(schema)))


def replace_schema(location: Location, schema: str, fresh: str, kept: str) -> bool:
    """Let `fresh` take the place of `schema`, which is called `kept` from then on and can be opened no more:
    one transaction. Says whether there was one to keep."""
    with _alone(location, schema, fresh) as connection:
        existed = _has_schema(connection, schema)
        if existed:
            if not _has_table(connection, schema, _REPLACED):
                connection.execute(sql.SQL("CREATE TABLE {} ()").format(sql.Identifier(schema, _REPLACED)))
            _rename_schema(connection, schema, kept)
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(fresh, _BUILDING)))
        _rename_schema(connection, fresh, schema)
    return existed


@contextmanager
def _alone(location: Location, *schemas: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction while nobody owns these schemas."""
    connection = _connect(location)
    try:
        with _translated(str(location)), connection.transaction():
            for schema in schemas:
                _own(connection, schema, str(location), until="pg_try_advisory_xact_lock")
            yield connection
    finally:
        connection.close()


def _rename_schema(connection: psycopg.Connection[Any], schema: str, name: str) -> None:
    text = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
    connection.execute(text.format(sql.Identifier(schema), sql.Identifier(name)))


def _has_schema(connection: psycopg.Connection[Any], schema: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone())


def _has_table(connection: psycopg.Connection[Any], schema: str, table: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s",
        (schema, table),
    )
    return bool(found.fetchone())


def _recognized(store: PostgresStore, drive_id: str) -> PostgresStore:
    try:
        store.recognize(drive_id)
    except BaseException:
        store.close()
        raise
    return store


def _connect(location: Location) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            location.url,
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="dualtrack",
            # Of a database in SQL_ASCII all text would otherwise come as bytes.
            client_encoding="utf8",
        )
    except psycopg.Error as error:
        # The library's own words may quote the URL, and with it the password.
        raise StoreError(
            f"{location}: no connection ({_reason(error, location)}); see that the server runs and that the "
            "user may log in"
        ) from None


def _reason(error: psycopg.Error, location: Location) -> str:
    told = str(error).splitlines()[0] if str(error) else type(error).__name__
    secret = psycopg.conninfo.conninfo_to_dict(location.url).get("password") if location.url else None
    return told.replace(str(secret), "***") if secret else told


def _refuse_loss(connection: psycopg.Connection[Any], name: str) -> None:
    """`StoreError` where the server could forget what it has acknowledged."""

    def setting(which: str) -> str:
        row = connection.execute("SELECT current_setting(%s)", (which,)).fetchone()
        return str(row[0]) if row else ""

    for which, good in (*_DURABLE.items(), ("synchronous_commit", _ACKNOWLEDGED)):
        if (found := setting(which)) not in good:
            raise StoreError(
                f"{name}: {which} is {found}, so the server may lose what it acknowledged; set it to "
                f"{good[0]}"
            )
    standby = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if standby and standby[0]:
        raise StoreError(f"{name} is a standby; name the primary")


def _own(
    connection: psycopg.Connection[Any], schema: str, name: str, until: str = "pg_try_advisory_lock"
) -> None:
    """Take the lock that says who the owner is: for as long as the connection lives, or the transaction."""
    statement = sql.SQL("SELECT {}(hashtextextended(%s, 0))").format(sql.Identifier(until))
    row = connection.execute(statement, (f"dualtrack/{schema}",)).fetchone()
    if not row or not row[0]:
        raise StoreLockedError(
            f"schema {schema} of {name} is owned by another process; speak to it over its socket, or stop it "
            "first"
        )


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (errors.SerializationFailure, errors.DeadlockDetected):
        raise
    except (errors.DataCorrupted, errors.IndexCorrupted) as error:
        raise StoreCorruptError(f"{name}: {error}; {REMEDY}") from error
    except errors.DiskFull as error:
        raise StoreFullError(f"the disk of {name} is full; nothing was written: make room") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(
            f"{name}: the connection was lost ({told}); a commit under way may have taken effect: open the "
            "store again"
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"{name}: {error}") from error
