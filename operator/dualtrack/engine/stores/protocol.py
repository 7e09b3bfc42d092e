"""What the engine asks of a key-value store, and nothing more.

A store keeps rows in S3's order (UTF-8 bytes of bucket, key), an index entry beside each listed row, and a
few named meta values, and changes all three in one durable transaction. It detects every damaged or misplaced
value (`StoreCorruptError`); it never answers None for a key that it cannot hold.

Rules of `commit`, all inside that one transaction:
- `fence`: a Job's batch carries the number that `begin` gave it and is refused (`FencedError`) unless it
  still is the store's current one. `None` is the owner itself (the server's own writes, the drain). Either
  way the term of the opener must still be the store's term.
- `Put.expect == "older"` (a sweep): applied only where no row is stored, or an older one that a file backs,
  and the key is not dirty. `"any"` (somebody who holds the key's stripe lock): a dirty key and a KV-origin
  row are no obstacle. In both a row never goes back to a lower generation. A damaged row, whose generation
  nobody knows, is `DAMAGED` to the first and refuses the batch of the second (`StoreCorruptError`); only
  `"mend"` overwrites it: as `"any"`, by somebody who has read the file under that lock (`mending.py`).
- Counters of present objects and versions, the meta values and the cursor change with the rows or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, Protocol

from dualtrack.engine.digests import Digest
from dualtrack.engine.rows import Generation, Row
from dualtrack.errors import DualTrackError

if TYPE_CHECKING:
    from dualtrack.engine.stores.coverage import Coverage
    from dualtrack.engine.stores.matching import Checks, Held, Matched
    from dualtrack.engine.stores.readers import Readers
    from dualtrack.engine.stores.recording import Change, ChangeLog
    from dualtrack.engine.summary import Summary

Place = tuple[str, str]
"""(bucket, key)"""

PackedRow = tuple[bytes, bytes]
"""(full key, envelope with its payload), as a store holds them"""


class Outcome(IntEnum):
    APPLIED = 1
    #: The store holds a newer row (or one that only the KV holds); nothing was written.
    NEWER = 2
    #: The key is dirty: its file changed and the drain has not read it yet. Nothing was written; come again.
    DIRTY = 3
    #: The same content is already stored at a trusted generation; nothing was written.
    SAME = 4
    #: The stored row does not match its check, so it may be newer; nothing was written.
    DAMAGED = 5


@dataclass(frozen=True, slots=True)
class Put:
    """One row to store; a tombstone is `Put(Row.tombstone(...))`. `summary` is empty without an index entry.

    `versions` is how many versions the row holds, for the counters.
    """

    row: Row
    summary: bytes = b""
    expect: Literal["older", "any", "mend"] = "older"
    versions: int = 1


@dataclass(slots=True)
class SealedRows:
    """Rows of a sweep that a reader has packed already, as parallel lists: full key, envelope, packed index
    entry, number of versions. All are PRESENT, of origin FS and of one generation.
    """

    fulls: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    size: int = 0

    def __len__(self) -> int:
        return len(self.fulls)

    def extend(self, other: SealedRows) -> None:
        self.fulls += other.fulls
        self.values += other.values
        self.entries += other.entries
        self.versions += other.versions
        self.size += other.size


@dataclass(frozen=True, slots=True)
class Batch:
    """`sealed` are puts, too (expecting "older"); their outcomes follow those of `puts`."""

    fence: int | None = None
    puts: tuple[Put, ...] = ()
    #: None deletes the name.
    meta: Mapping[str, bytes | None] = field(default_factory=dict)
    cursor: tuple[str, bytes] | None = None
    sealed: SealedRows | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One outcome a put, in the batch's order."""

    outcomes: tuple[Outcome, ...]

    def count(self, outcome: Outcome) -> int:
        return self.outcomes.count(outcome)


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Rows by bucket that are PRESENT (system volumes included), and how full the store is.

    `map_bytes`: how much it can hold; 0 where it cannot know.
    """

    objects: Mapping[str, int]
    versions: Mapping[str, int]
    used_bytes: int
    map_bytes: int
    file_bytes: int

    @property
    def fullness(self) -> float:
        return self.used_bytes / self.map_bytes if self.map_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Entries:
    """How many entries rows and index have, and how often that has changed."""

    rows: int = 0
    index: int = 0
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """One entry that cannot be believed. `part` is `row`, `index` or `pair` (both sound, not of each
    other).
    """

    part: str
    bucket: str
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class ScrubPage:
    """`last` is the full key to go on after; empty at the end. `entries` is the store's own count."""

    last: bytes
    rows: int
    index: int
    damaged: tuple[Damage, ...]
    entries: Entries


@dataclass(frozen=True, slots=True)
class Older:
    """A page of rows as a look for rows of another pass sees it: those of an earlier generation, whole and
    verified; of the others only how many there are in each bucket. `last`: where the next page starts; None
    at the end. Tombstones, and rows that only the KV holds, are left out as long as they may be trusted.
    `damaged` are those whose damage was met.
    """

    rows: tuple[Row, ...]
    newer: Mapping[str, int]
    last: Place | None
    damaged: tuple[Place, ...] = ()


class KvStore(Protocol):
    def get(self, bucket: str, key: str) -> Row | None: ...

    def get_many(self, places: Sequence[Place]) -> list[Row | None]: ...

    def scan(self, after: Place | None, limit: int) -> list[Row]:
        """Rows of every state after `after`, in order. May return fewer than `limit`; empty means the end."""

    def scan_packed(self, after: Place | None, limit: int) -> list[PackedRow]:
        """The same rows as they lie in the store, verified by nobody yet: whoever opens them does that."""

    def scan_older(self, after: Place | None, than: Generation, trust: Generation, limit: int) -> Older:
        """The rows after `after`, at most about `limit`, told apart by generation. `trust` is the floor."""

    def scan_index(self, bucket: str, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        """(key, summary) of present objects of `bucket`, key > `after`, in order. Fewer than `limit` = the
        end.
        """

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]:
        """The same page with the summaries unpacked."""

    def commit(self, batch: Batch) -> BatchResult: ...

    def meta(self, name: str) -> bytes | None: ...

    def meta_scan(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Meta values whose name starts with `prefix` and is greater than `after`. Fewer than `limit` = the
        end.
        """

    def stats(self) -> StoreStats: ...

    def digest(self, stop: Callable[[], bool] = lambda: False) -> Digest:
        """Over PRESENT rows of every bucket, system volumes included. All of the store is read, so `stop` is
        asked between two pages: `IncompleteError`.
        """

    def close(self) -> None: ...


class OwnedStore(KvStore, Protocol):
    """What its one owner asks of a store beside that."""

    #: Where each change is written down before it is committed; set before the first one.
    log: ChangeLog | None

    @property
    def drive_id(self) -> str: ...

    @property
    def term(self) -> int:
        """The one that this opener commits under."""

    def open_term(self) -> int: ...

    def begin(self, run_id: str, fence: int) -> int: ...

    def fence(self) -> int: ...

    def commit_many(
        self, batches: Sequence[Batch], dirty: Container[Place] = ()
    ) -> list[BatchResult | DualTrackError]: ...

    def scrub(self, after: bytes) -> ScrubPage:
        """Check every row after the full key `after`, and its index entry, each by itself, for a page."""

    def scrub_meta(self) -> list[tuple[str, bytes | None]]:
        """Every meta value by name; None in place of a damaged one."""

    def coverage(self) -> Coverage: ...

    def entries(self) -> Entries: ...

    def replay(self, changes: Iterator[Change], position: Callable[[int], bytes | None]) -> None:
        """Lay the changes of a log over what is there; see `rowlog/replaying.py`."""

    def match(self, fresh: SealedRows, floor: Generation, *, in_order: bool = True) -> Matched: ...

    def between(
        self, table: str, start: bytes, end: bytes, most: int, *, inclusive: bool
    ) -> list[PackedRow]: ...

    def checks(self, places: Sequence[Place]) -> Checks: ...

    def held(self, coverage: Coverage, floor: Generation) -> Generator[None, None, Held]: ...

    def readers(self) -> Readers:
        """How far back the oldest reader holds the store's pages."""
