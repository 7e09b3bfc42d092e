"""Connections: how one is made, what is asked of the server first, who owns a schema, what errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, sql

from dualtrack.engine.stores.location import Location
from dualtrack.engine.stores.reading import REMEDY
from dualtrack.errors import StoreCorruptError, StoreError, StoreFullError, StoreLockedError

_CONNECT_SECONDS = 10
_DURABLE = {"fsync": ("on",), "full_page_writes": ("on",)}
_ACKNOWLEDGED = ("on", "local", "remote_write", "remote_apply")


def connect(location: Location) -> psycopg.Connection[Any]:
    """`StoreError` where there is none to be had; it never quotes a password."""
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
    told = _first_line(error)
    secret = psycopg.conninfo.conninfo_to_dict(location.url).get("password") if location.url else None
    return told.replace(str(secret), "***") if secret else told


def _first_line(error: psycopg.Error) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def refuse_loss(connection: psycopg.Connection[Any], name: str) -> None:
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


def own(
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
def translated(name: str) -> Iterator[None]:
    """The library's errors as ours, but for those after which the same transaction may be tried again."""
    try:
        yield
    except (errors.SerializationFailure, errors.DeadlockDetected):
        raise
    except (errors.DataCorrupted, errors.IndexCorrupted) as error:
        raise StoreCorruptError(f"{name}: {error}; {REMEDY}") from error
    except errors.DiskFull as error:
        raise StoreFullError(f"the disk of {name} is full; nothing was written: make room") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreError(
            f"{name}: the connection was lost ({_first_line(error)}); a commit under way may have taken "
            "effect: open the store again"
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"{name}: {error}") from error
