"""A new store in the place of a lost one: built beside it, exchanged in one step, the old one kept.

The new one is made in `STORE.rebuild`, with a file `building` in it until it is whole. Then both directories
change places in one system call, so that at every moment a whole store lies at the path. The old one is kept
beside it under a dated name, with a note in it that keeps it from being opened. Cut off anywhere, it can be
run again: a half-built store begins anew, and nothing of the old one is ever deleted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from dualtrack.engine import client, files
from dualtrack.engine.storelock import REPLACED, lock_store, path_of
from dualtrack.engine.stores.location import ROCKSDB_FOLDER, Driver, Location, locate
from dualtrack.errors import OwnerError, UsageError

BUILDING = "building"
"""A file in a store that is not finished yet; what lies at `STORE.rebuild` without it is kept."""


def refuse_mount(location: Location) -> None:
    """`UsageError` where a store cannot change places with another."""
    if location.driver is not Driver.POSTGRESQL and os.path.ismount(location.directory):
        raise UsageError(f"--store {location} is a mount, which cannot be renamed; use a directory below it")


@contextmanager
def held(location: Location, *, dry_run: bool = False) -> Iterator[None]:
    """No other owner, from here to the end. The lock moves away with the old directory. A dry run takes back
    what had to be made for the lock.
    """
    if os.path.isdir(location.directory) and client.answers(location.directory):
        raise OwnerError(
            f"a server owns {location} and answers on its socket; stop it, or let it start without this "
            "store (in fs or kv_primary with fallback it serves from files), then run this again"
        )
    made = _missing(location.directory)
    lock = lock_store(location, replaced_too=True)
    assert lock is not None
    try:
        yield
    finally:
        if dry_run:
            _take_back(location.directory, made)
        os.close(lock)


def _missing(directory: str) -> list[str]:
    """What `lock_store` is about to make: directories from the innermost on, and the lock's file first."""
    path = os.path.abspath(directory)
    made = [] if os.path.lexists(path_of(path)) else [path_of(path)]
    while not os.path.lexists(path):
        made.append(path)
        path = os.path.dirname(path)
    return made


def _take_back(directory: str, made: list[str]) -> None:
    """What the lock alone needed, while it is still held. A directory with anything else in it stays."""
    for path in made:
        if path == path_of(os.path.abspath(directory)):
            files.unlink(path)
        elif not files.remove_directory(path):
            return


def begin(location: Location) -> str:
    """An empty directory for the new store, marked as unfinished. The caller has the store `held`."""
    fresh = location.directory + ".rebuild"
    _make_room(fresh)
    files.ensure_directory(fresh)
    files.write_new(os.path.join(fresh, BUILDING), b"")
    files.sync_directory(fresh)
    return fresh


@contextmanager
def building(location: Location, *, dry_run: bool) -> Iterator[str]:
    """As `begin`; of a dry run nothing is left, however it ends."""
    fresh = begin(location)
    try:
        yield fresh
    finally:
        if dry_run:
            clear(fresh)


def swap(location: Location, fresh: str, now: datetime) -> str:
    """Exchange the two, and keep the old one. Returns where that lies now; empty where there was none."""
    held = lock_store(locate(fresh))
    assert held is not None
    try:
        files.unlink(os.path.join(fresh, BUILDING))
        files.sync_file_system(fresh)
        parent = os.path.dirname(os.path.abspath(location.directory))
        files.exchange(fresh, location.directory)
        files.sync_directory(parent)
        return _keep(fresh, now)
    finally:
        os.close(held)


def _keep(directory: str, now: datetime) -> str:
    """Put an old store aside, not to be opened by mistake. What `held` had to make where there was none has
    nothing in it but the lock, and goes.
    """
    if set(os.listdir(directory)) <= {os.path.basename(path_of(directory))}:
        clear(directory)
        files.sync_directory(os.path.dirname(os.path.abspath(directory)))
        return ""
    path = os.path.join(directory, REPLACED)
    if not os.path.lexists(path):
        files.write_new(path, f"replaced at {now.isoformat(timespec='seconds')}\n".encode())
    # The note must not be lost by a power cut that keeps the new name: it is in another directory.
    files.sync_directory(directory)
    kept = f"{directory.removesuffix('.rebuild')}.replaced-{now:%Y%m%dT%H%M%S.%fZ}"
    files.rename_exclusive(directory, kept)
    files.sync_directory(os.path.dirname(os.path.abspath(kept)))
    return kept


def _make_room(fresh: str) -> None:
    """Where an earlier run was cut off: a half-built store goes, anything else is kept."""
    if not os.path.lexists(fresh):
        return
    if os.path.lexists(os.path.join(fresh, BUILDING)):
        clear(fresh)
    else:
        _keep(fresh, datetime.now().astimezone())


def clear(directory: str) -> None:
    """Remove a store that was never finished; the file that says so goes last."""
    inner = os.path.join(directory, ROCKSDB_FOLDER)
    if os.path.isdir(inner):
        for name in os.listdir(inner):
            files.unlink(os.path.join(inner, name))
        files.remove_directory(inner)
    for name in sorted(os.listdir(directory), key=lambda name: name == BUILDING):
        files.unlink(os.path.join(directory, name))
    files.remove_directory(directory)
