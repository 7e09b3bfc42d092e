"""What `--store` may say, and which kind of store that is.

- `DIR`: what lies there; LMDB if nothing does yet.
- `rocksdb:DIR`: RocksDB, for a new one; afterwards `DIR` alone says it, too.
- `postgresql://…`: one schema a drive in that database. Two parameters are ours and never reach the server:
  `schema=NAME` instead of the drive's own, and `replicated=true`, by which somebody declares that the
  database survives the loss of any one machine. Nothing else makes us believe that.

A URL may hold a password. `str()` of a location does not, and messages, logs and results use nothing else.
Better still is none at all: `PGPASSFILE`, or `PGPASSWORD` from a Secret.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dualtrack.engine.drive import STORE_DIRECTORY
from dualtrack.engine.stores.place import DATA_FILE
from dualtrack.errors import UsageError

ROCKSDB_FOLDER = "rocksdb"
"""Below the store's directory, beside `owner.lock` and `owner.sock`."""

_SCHEMES = ("postgresql", "postgres")
_ROCKSDB = "rocksdb:"
_SECRETS = ("password", "sslpassword")


class Driver(StrEnum):
    LMDB = "LMDB"
    ROCKSDB = "RocksDB"
    POSTGRESQL = "PostgreSQL"


@dataclass(frozen=True, slots=True)
class Location:
    """`directory` is where the owner's lock and socket are; empty for a database without a drive."""

    driver: Driver
    directory: str
    name: str
    url: str = field(default="", repr=False)
    schema: str = ""
    replicated: bool = False

    def __str__(self) -> str:
        return self.name

    def schema_of(self, drive_id: str) -> str:
        """The drive's schema in a database; empty where neither the URL nor a drive says one."""
        return self.schema or (drive_id and "dualtrack_" + drive_id.replace("-", "_"))

    def exists(self) -> bool:
        """Whether a store is there. A database can only be asked, which opening does."""
        match self.driver:
            case Driver.LMDB:
                return os.path.isfile(os.path.join(self.directory, DATA_FILE))
            case Driver.ROCKSDB:
                return _is_rocksdb(self.directory)
            case Driver.POSTGRESQL:
                return True


def require_store(location: Location) -> None:
    """UsageError where no store is there: whoever opens one to own it would make it."""
    if not location.exists():
        raise UsageError(f"--store {location}: there is no store; migrate makes one")


def locate(store: str, drive: str | None = None) -> Location:
    """Raises `UsageError` where the words make no store, or another kind of store lies there."""
    if store.partition("://")[0] in _SCHEMES:
        return _database(store, drive)
    if "://" in store:
        raise UsageError(
            f"--store {store.partition('://')[0]}://…: no such kind of store; it is DIR, rocksdb:DIR or "
            "postgresql://…"
        )
    wanted = store.removeprefix(_ROCKSDB)
    if not store:
        raise UsageError("--store is empty; name the store's directory")
    rocksdb = _is_rocksdb(wanted)
    lmdb = os.path.isfile(os.path.join(wanted, DATA_FILE))
    if rocksdb and lmdb:
        raise UsageError(f"--store {wanted} holds an LMDB store and a RocksDB store; move one of them away")
    if wanted == store:
        return Location(Driver.ROCKSDB if rocksdb else Driver.LMDB, wanted, wanted)
    if lmdb or not wanted:
        raise UsageError(
            f"--store {store}: {wanted or 'no directory'} "
            f"{'holds an LMDB store' if lmdb else 'was named'}; name another directory"
        )
    return Location(Driver.ROCKSDB, wanted, wanted)


def _is_rocksdb(directory: str) -> bool:
    return os.path.isfile(os.path.join(directory, ROCKSDB_FOLDER, "CURRENT"))


def _database(store: str, drive: str | None) -> Location:
    parts = urlsplit(store)
    given = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in given if name in ("schema", "replicated")}
    if ours.get("replicated", "false") not in ("true", "false"):
        raise UsageError("--store: replicated is true or false")
    theirs = [(name, value) for name, value in given if name not in ours]
    url = urlunsplit(parts._replace(query=urlencode(theirs)))
    shown = [(name, value) for name, value in given if name not in _SECRETS]
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}{at}{host}"
    name = urlunsplit(parts._replace(netloc=netloc, query=urlencode(shown)))
    return Location(
        Driver.POSTGRESQL,
        os.path.join(drive, STORE_DIRECTORY) if drive else "",
        name,
        url,
        ours.get("schema", ""),
        ours.get("replicated") == "true",
    )
