"""Where a rebuilt PostgreSQL store is made, and how it takes the old one's place: a second schema, swapped by
name in one transaction. What `rebuild.py` does to directories, said of schemas.

The old schema stays in the database under a dated name, with a table in it that keeps an owner out. A schema
that was not finished says so by a table, too; only such a one is ever dropped.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dualtrack.engine.drive import Drive
from dualtrack.engine.stores.location import Location
from dualtrack.engine.stores.opening import open_store, postgresql_schemas
from dualtrack.errors import StoreError, UsageError

_LONGEST = 63
"""PostgreSQL cuts longer names off without a word."""


def fresh_location(drive: Drive, location: Location, now: datetime) -> Location:
    """Where to build. `UsageError` where the schema's name leaves no room for the others."""
    schema = location.schema_of(drive.drive_id)
    if len(_kept(schema, now).encode()) > _LONGEST:
        raise UsageError(f"--store {location}: schema {schema} is too long a name for a rebuild")
    name = f"{schema}_rebuild"
    return replace(location, schema=name, name=f"{location}, schema {name}", directory="")


def begin(fresh: Location) -> None:
    postgresql_schemas(fresh).begin_schema(fresh, fresh.schema)


def discard(fresh: Location) -> None:
    postgresql_schemas(fresh).discard_schema(fresh, fresh.schema)


def swap(drive: Drive, location: Location, fresh: Location, now: datetime) -> str:
    """Returns what the old store is called now; empty where there was none."""
    schema = location.schema_of(drive.drive_id)
    kept = _kept(schema, now)
    existed = postgresql_schemas(location).replace_schema(location, schema, fresh.schema, kept)
    return f"schema {kept}" if existed else ""


def salvage(drive: Drive, location: Location) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The old store's sound meta values, and what could not be read. A database kills nobody who reads it."""
    try:
        store = open_store(location, drive.drive_id, reading=True)
        try:
            values = store.scrub_meta()
        finally:
            store.close()
    except StoreError as error:
        return {}, (str(error),)
    found = {name: value for name, value in values if value is not None}
    return found, tuple(f"meta value {name}" for name, value in values if value is None)


def _kept(schema: str, now: datetime) -> str:
    return f"{schema}_old_{now:%y%m%d%H%M%S}"
