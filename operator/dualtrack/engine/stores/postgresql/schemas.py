"""Whole schemas: how a rebuild begins one, gives it up, or puts it in the place of another.

An empty table says what a schema is, so that it is said in the same transaction as what happens to it: not
finished yet, or put aside. All of it is done only while nobody owns the schemas in question.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from dualtrack.engine.stores.location import Location
from dualtrack.engine.stores.postgresql.connection import connect, own, translated
from dualtrack.engine.stores.transaction import TABLES
from dualtrack.errors import StoreError, StoreVersionError

_BUILDING, _REPLACED = "building", "replaced"


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


def exists(location: Location, schema: str) -> bool:
    """Whether the database has this schema. Nothing is made by asking."""
    connection = connect(location)
    try:
        with translated(str(location)), connection.transaction():
            return _has_schema(connection, schema)
    finally:
        connection.close()


def refuse_replaced(connection: psycopg.Connection[Any], schema: str, name: str) -> None:
    """`StoreVersionError` where a rebuild has put this schema aside."""
    if _has_table(connection, schema, _REPLACED):
        raise StoreVersionError(
            f"schema {schema} of {name} was replaced by a rebuilt store and may be behind the drive; name "
            "the schema that took its place"
        )


@contextmanager
def _alone(location: Location, *schemas: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction while nobody owns these schemas."""
    connection = connect(location)
    try:
        with translated(str(location)), connection.transaction():
            for schema in schemas:
                own(connection, schema, str(location), until="pg_try_advisory_xact_lock")
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
