"""Looking into a store without owning it: nothing is written, no term is raised, no server is kept out.

Where a server owns the store, its socket answers. Otherwise the store is opened beside whoever else looks:
under a shared lock, so that nobody begins to write meanwhile, and without the term that an owner raises. A
snapshot, which never had an owner, is opened as it lies there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from dualtrack.engine import client
from dualtrack.engine.client import OwnerClient
from dualtrack.engine.digests import Digest
from dualtrack.engine.rows import Row
from dualtrack.engine.storelock import share_store
from dualtrack.engine.stores.location import locate, require_store
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import Place, StoreStats
from dualtrack.engine.summary import Summary


class Look(Protocol):
    """The part of a store, or of its owner, that changes nothing."""

    def get_many(self, places: Sequence[Place]) -> list[Row | None]: ...

    def scan(self, after: Place | None, limit: int) -> list[Row]: ...

    def scan_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, bytes]]: ...

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]: ...

    def meta(self, name: str) -> bytes | None: ...

    def meta_scan(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]: ...

    def stats(self) -> StoreStats: ...

    def digest(self, stop: Callable[[], bool] = lambda: False) -> Digest: ...


@contextmanager
def look(
    store: str, *, drive: str | None = None, client_only: bool = False, drive_id: str = ""
) -> Iterator[Look]:
    """The store, for reading. `StoreLockedError` where somebody is at work on it who has no socket,
    `StoreVersionError` where it is of another drive than `drive_id`.
    """
    location = locate(store, drive)
    if client_only or (location.directory and client.answers(location.directory)):
        speaker = OwnerClient(location.directory)
        try:
            yield speaker
        finally:
            speaker.close()
        return
    require_store(location)
    lock = share_store(location.directory)
    try:
        opened = open_store(location, drive_id, reading=True)
        try:
            yield opened
        finally:
            opened.close()
    finally:
        if lock is not None:
            os.close(lock)
