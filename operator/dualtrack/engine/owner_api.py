"""What the owner of a store offers, to its own process and over its socket alike.

A store has one owner: the process that holds `flock` on it. A verb works against this protocol and does not
know whether it owns the store itself or asks the server that does (see `engine/session.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from dualtrack.engine.digests import Digest
from dualtrack.engine.rowlog.keeper import LogApi
from dualtrack.engine.rows import Generation, Row
from dualtrack.engine.stores.matching import Matched
from dualtrack.engine.stores.protocol import (
    Batch,
    BatchResult,
    Older,
    PackedRow,
    Place,
    ScrubPage,
    SealedRows,
    StoreStats,
)
from dualtrack.engine.summary import Summary


@dataclass(frozen=True, slots=True)
class OwnerInfo:
    store_uuid: str
    drive_id: str
    migration_uid: str
    epoch: int
    #: "fs", "kv_primary" or "kv_only"; "" where a verb owns the store and no server runs.
    engine: str
    ratio: str
    fallback: bool
    boot_id: str
    journal_depth: int
    #: The journal broke, and no sweep has been through the drive since: rows may be older than their files.
    degraded: bool
    fence: int
    trust_floor: Generation


class OwnerApi(Protocol):
    @property
    def log(self) -> LogApi:
        """Of its row log, if it has one."""

    def info(self) -> OwnerInfo: ...

    def begin(self, run_id: str, fence: int) -> int:
        """Raise the store's fence to `fence`; the run's batches carry it. `FencedError` if a higher one is
        known.

        The same fence again is accepted only from the same run. 0 asks for the next free one.
        """

    def next_generation(self) -> Generation:
        """A generation above every one given before, also before a restart."""

    def commit(self, batch: Batch) -> BatchResult: ...

    def get_many(self, places: Sequence[Place]) -> list[Row | None]: ...

    def scan(self, after: Place | None, limit: int) -> list[Row]:
        """Rows of every state after `after`, in order. May return fewer than `limit`; empty means the end."""

    def scan_packed(self, after: Place | None, limit: int) -> list[PackedRow]:
        """The same rows as the store holds them, verified by nobody yet: whoever opens them does that."""

    def scan_older(self, after: Place | None, than: Generation, trust: Generation, limit: int) -> Older:
        """See `KvStore.scan_older`."""

    def scan_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, bytes]]: ...

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]: ...

    def match(self, fresh: SealedRows, floor: Generation) -> Matched:
        """Which of these rows, sealed from files just now, the store holds as they are; see
        `stores/matching.py`.
        """

    def between(self, table: str, start: bytes, end: bytes, most: int, *, inclusive: bool) -> list[PackedRow]:
        """What a table holds from the full key `start` on and before `end`, verified by nobody yet. May be
        fewer than `most`; none is the end.
        """

    def cursor(self, name: str) -> bytes | None: ...

    def meta(self, name: str) -> bytes | None: ...

    def meta_scan(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]: ...

    def dirty(self, places: Iterable[Place]) -> set[Place]:
        """Which of these keys changed on the file system and are not drained yet."""

    def stats(self) -> StoreStats: ...

    def digest(self, stop: Callable[[], bool] = lambda: False) -> Digest: ...

    def scrub(self, after: bytes) -> ScrubPage:
        """Check every entry after the full key `after` by itself; see `stores/scrubbing.py`."""

    def scrub_meta(self) -> list[str]:
        """Names of damaged meta values."""

    def locked(self, places: Iterable[Place]) -> AbstractContextManager[None]:
        """Hold the stripe locks of these keys, so that no read-modify-write of them is under way
        meanwhile.
        """

    def require_locked(self) -> None:
        """`OwnerError` where the locks that this thread took last ran out. Whoever changes files asks right
        before: what it judged under them is no longer so.
        """

    def close(self) -> None: ...
