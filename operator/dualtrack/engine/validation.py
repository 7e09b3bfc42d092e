"""The guide's two questions: is this object the same on both tracks, and how many of a bucket's are?

`validate_object` answers with one of five findings. It goes by the whole file, not by ETag and size alone:
two files of one ETag that differ in tags, versions or retention are not in sync. `validate_bucket_sample`
draws from both tracks, so that an object which only one of them knows is as likely to be met as any, and by a
keyed hash, so that the end of a bucket is looked at like its start.

Differences are confirmed by a second look; nothing is changed and no run is announced.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from dualtrack.engine import candidates
from dualtrack.engine.candidates import Missed
from dualtrack.engine.confirming import Confirmation, Judged
from dualtrack.engine.drafts import settle_journal
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.judging import Verdict
from dualtrack.engine.listing import Found
from dualtrack.engine.rows import Row
from dualtrack.engine.sampling import place_hash, seed_key
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.summary import summary
from dualtrack.engine.task import Task
from dualtrack.errors import FormatError, IncompleteError, StoreCorruptError

BATCH = 256


@dataclass(frozen=True, slots=True)
class InSync:
    """Both tracks say the same."""


@dataclass(frozen=True, slots=True)
class Diverged:
    """Both have it and do not agree. Sizes and ETags are those of the newest version; None where a track's
    bytes cannot be decoded, or encryption hides the ETag. `what` is the verdict of `judging`.
    """

    kv_etag: str | None
    fs_etag: str | None
    kv_size: int | None
    fs_size: int | None
    what: str


@dataclass(frozen=True, slots=True)
class KvOnly:
    """A row and no file: as it should be in `kv_only`, a loss anywhere else."""


@dataclass(frozen=True, slots=True)
class FsOnly:
    """A file and no row that holds it: not swept yet, quarantined, or lost."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Neither track has it."""


Finding: TypeAlias = InSync | Diverged | KvOnly | FsOnly | Missing


@dataclass(slots=True)
class Stats:
    """How many of those that were looked at are what. `errors` could not be compared."""

    checked: int = 0
    in_sync: int = 0
    diverged: int = 0
    kv_only: int = 0
    fs_only: int = 0
    missing: int = 0
    errors: int = 0

    def count(self, finding: Finding) -> None:
        self.checked += 1
        name = _COUNTED[type(finding)]
        setattr(self, name, getattr(self, name) + 1)


_COUNTED = {
    InSync: "in_sync",
    Diverged: "diverged",
    KvOnly: "kv_only",
    FsOnly: "fs_only",
    Missing: "missing",
}


@dataclass(slots=True)
class Validator:
    """Both questions, of one drive and its store."""

    task: Task
    confirmation: Confirmation = field(init=False)

    def __post_init__(self) -> None:
        self.confirmation = Confirmation(self.task, self.task.owner.info().trust_floor)
        settle_journal(self.task)

    def validate_object(self, bucket: str, key: str) -> Finding:
        """`StoreCorruptError` for a damaged row, `IncompleteError` where the object cannot be read now."""
        for judged in self.confirmation.settle({(bucket, key)}):
            return finding(judged)
        raise IncompleteError(f"{bucket}/{key} is being written, or cannot be read now; ask again")

    def validate_bucket_sample(self, bucket: str, count: int, seed: str = "") -> Stats:
        """Look at `count` objects of the bucket, or at all where it has fewer. Names go to the task."""
        stats = Stats()
        for start in range(0, len(places := self._draw(bucket, count, seed)), BATCH):
            part = set(places[start : start + BATCH])
            for judged in self.confirmation.settle(part):
                self._count(stats, judged)
        stats.errors += len(self.confirmation.unsettled) + self.task.counts["unlisted"]
        for place in self.confirmation.unsettled:
            self.task.name(f"{'/'.join(place)}: cannot be compared now")
        return stats

    def _count(self, stats: Stats, judged: Judged) -> None:
        self.task.committed += 1
        name = "/".join(judged[0])
        try:
            found = finding(judged)
        except StoreCorruptError as error:
            stats.checked += 1
            stats.errors += 1
            self.task.name(f"{name}: {error}")
            return
        stats.count(found)
        if not isinstance(found, InSync | Missing):
            self.task.name(f"{name}: {type(found).__name__}")

    def _draw(self, bucket: str, count: int, seed: str) -> list[Place]:
        smallest = _Smallest(count, seed_key(seed))
        for found in candidates.on_drive(self.task.drive, smallest.may_take, self._tick, [bucket]):
            if not isinstance(found, Missed):
                smallest.take(found)
            elif not found.problem.vanished:
                self.task.counts["unlisted"] += 1
                self.task.name(f"{found.problem.path}: {found.problem.reason}")
        for place, _ in candidates.in_index(self.task.owner, smallest.may_take, self._tick, [bucket]):
            smallest.take(place)
        return sorted(smallest.places())

    def _tick(self, names: int) -> None:
        self.task.scanned += names
        self.task.checkpoint()


@dataclass(slots=True)
class _Smallest:
    """The places with the smallest keyed hashes: any is as likely as another, and memory is bounded."""

    count: int
    key: bytes
    heap: list[tuple[int, Place]] = field(default_factory=list)
    known: set[Place] = field(default_factory=set)

    def may_take(self, bucket: str, key: str) -> bool:
        if len(self.heap) < self.count:
            return (bucket, key) not in self.known
        return place_hash(self.key, bucket, key) < -self.heap[0][0] and (bucket, key) not in self.known

    def take(self, place: Place) -> None:
        if not self.may_take(*place):
            return
        self.known.add(place)
        heapq.heappush(self.heap, (-place_hash(self.key, *place), place))
        if len(self.heap) > self.count:
            self.known.discard(heapq.heappop(self.heap)[1])

    def places(self) -> Iterator[Place]:
        return (place for _, place in self.heap)


def finding(judged: Judged) -> Finding:
    """What a confirmed verdict means for the two tracks."""
    (bucket, key), seen, verdict = judged
    if verdict is Verdict.DAMAGED_ROW:
        raise StoreCorruptError(f"{bucket}/{key}: {seen.damage}")
    held = seen.row if seen.row is not None and seen.row.present else None
    if seen.file is None:
        return KvOnly() if held is not None else Missing()
    if held is None:
        return FsOnly()
    if verdict is Verdict.EQUAL:
        return InSync()
    file = seen.file.data if isinstance(seen.file, Found) else b""
    kv, fs = _newest(held), _newest(file)
    return Diverged(kv[0], fs[0], kv[1], fs[1], verdict.value)


def _newest(side: Row | bytes) -> tuple[str | None, int | None]:
    try:
        found = summary(xlmeta.decode(side.data if isinstance(side, Row) else side))
    except FormatError:
        return None, None
    return found.etag, found.size
