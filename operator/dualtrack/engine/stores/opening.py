"""The one way to a store: by where it is, whichever library it needs.

RocksDB and PostgreSQL are extras, so their modules are imported only where such a store is named.
"""

from __future__ import annotations

import importlib
from typing import Any

from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.location import Driver, Location
from dualtrack.engine.stores.protocol import OwnedStore
from dualtrack.errors import UsageError


def open_store(
    location: Location, drive_id: str = "", *, map_size: int = 0, reading: bool = False
) -> OwnedStore:
    """Open or create it. An empty `drive_id` accepts a store of any drive; `map_size` is LMDB's alone.

    `reading`: nothing will be committed, so that several may have it open at once. LMDB needs not be told.
    """
    match location.driver:
        case Driver.LMDB:
            return LmdbStore.open(location.directory, drive_id, map_size=map_size)
        case Driver.ROCKSDB:
            backend = _extra("rocksdb", "rocksdb", location)
            opened: OwnedStore = backend.RocksDbStore.open(location.directory, drive_id, reading=reading)
        case Driver.POSTGRESQL:
            backend = _extra("postgresql", "postgresql.store", location)
            opened = backend.PostgresStore.open(location, drive_id, reading=reading)
    return opened


def postgresql_schemas(location: Location) -> Any:
    """The module for what only a rebuild does to a database."""
    return _extra("postgresql", "postgresql.schemas", location)


def _extra(name: str, module: str, location: Location) -> Any:
    try:
        return importlib.import_module(f"dualtrack.engine.stores.{module}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("dualtrack"):
            raise
        raise UsageError(
            f"--store {location} needs an extra: install rustfs-dualtrack[{name}] (missing: {error.name})"
        ) from error
