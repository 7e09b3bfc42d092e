"""The lock of a store's directory: one process owns it, or any number look at it and nobody writes.

`flock` on `<store>/owner.lock`: the kernel gives it back when the process dies, and counts neither processes
nor containers, where two may have the same PID. A database has no directory without its drive, and a lock of
its own.
"""

from __future__ import annotations

import json
import os

from dualtrack.engine import files
from dualtrack.engine.places import file_exists
from dualtrack.engine.stores.location import Location
from dualtrack.errors import StoreLockedError, StoreVersionError

REPLACED = "replaced"
"""A file in a store that `rebuild` has put aside."""


def lock_store(location: Location, *, replaced_too: bool = False) -> int | None:
    """None for a database that is read without its drive; it has a lock of its own."""
    store_dir = location.directory
    if not store_dir:
        return None
    if not replaced_too and file_exists(os.fsencode(os.path.join(store_dir, REPLACED))):
        raise StoreVersionError(
            f"{store_dir} was replaced by a rebuilt store (see its file {REPLACED!r}) and may be behind the "
            "drive; name the store that took its place"
        )
    files.ensure_directory(store_dir)
    path = path_of(store_dir)
    lock = files.lock_file(path)
    if lock is None:
        with open(path, "rb") as file:
            holder = file.read(256).strip(b" \0").decode(errors="replace")
        raise StoreLockedError(
            f"{store_dir} is owned by another process ({holder or 'unknown'}); speak to it over its socket, "
            "or stop it first"
        )
    if not _is_at(path, lock):
        os.close(lock)
        raise StoreLockedError(f"{store_dir} was just replaced or given up by another process; try again")
    os.pwrite(lock, json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode().ljust(256), 0)
    return lock


def share_store(store_dir: str) -> int | None:
    """For whoever looks, beside others who do. None where nobody ever owned it (a snapshot), and for a
    database, which has a lock of its own.
    """
    path = path_of(store_dir)
    if not store_dir or not os.path.exists(path):
        return None
    lock = files.lock_file(path, shared=True)
    if lock is None:
        raise StoreLockedError(
            f"{store_dir} is owned by a process without a socket, perhaps a migration; wait until it ends, "
            "or look at a snapshot"
        )
    return lock


def _is_at(path: str, lock: int) -> bool:
    """Whether the file is still there that was opened before it could be locked: a rebuild moves it away."""
    try:
        return os.path.samestat(os.fstat(lock), os.stat(path))
    except FileNotFoundError:
        return False


def path_of(store_dir: str) -> str:
    return os.path.join(store_dir, "owner.lock")
