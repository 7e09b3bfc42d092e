"""Which buckets a sweep reads first.

Within a bucket the order is always the walk's; between buckets it can be chosen, because a cursor names its
bucket. Nobody's metrics tell accesses by bucket (their labels are bounded), so access frequency is judged by
the access times of a few files of each: the share that was read since it was written. On a mount that keeps
none, or where no file tells of a read, that says nothing, and the order goes by size and says so.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from dualtrack.engine.drive import Drive
from dualtrack.engine.pacefile import Priority

SAMPLE = 64
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """`told`: what decided, in words for whoever reads the result."""

    buckets: tuple[str, ...]
    told: str


def choose(drive: Drive, priority: Priority, rows: Mapping[str, int], seed: int) -> Order:
    """`rows`: how many the store has by bucket; `seed` decides a random order, so that it can be repeated."""
    buckets = drive.buckets()
    match priority:
        case Priority.RANDOM:
            random.Random(seed).shuffle(buckets)
            return Order(tuple(buckets), f"random, seed {seed}")
        case Priority.SIZE:
            return Order(by_size(drive, buckets, rows), "size, the largest first")
        case Priority.ACCESS_FREQUENCY:
            shares = access_shares(drive, buckets)
            sized = by_size(drive, buckets, rows)
            if not any(shares.values()):
                return Order(sized, "none: this mount tells of no access; size, the largest first")
            ordered = sorted(sized, key=lambda bucket: -shares[bucket])
            return Order(tuple(ordered), "access frequency, by access times")


def by_size(drive: Drive, buckets: list[str], rows: Mapping[str, int]) -> tuple[str, ...]:
    """The largest first: by the rows that a bucket has, by the entries at its top where it has none yet."""

    def size(bucket: str) -> int:
        if rows.get(bucket):
            return rows[bucket]
        try:
            with os.scandir(os.path.join(drive.path, bucket)) as entries:
                return sum(1 for _ in entries)
        except OSError:
            return 0

    return tuple(sorted(buckets, key=lambda bucket: (-size(bucket), bucket)))


def access_shares(drive: Drive, buckets: list[str]) -> dict[str, float]:
    """Of each bucket: the share of a sample of its files that was read since it was written."""
    if os.statvfs(drive.path).f_flag & os.ST_NOATIME:
        return dict.fromkeys(buckets, 0.0)
    return {bucket: _share(os.path.join(drive.path, bucket)) for bucket in buckets}


def _share(root: str) -> float:
    found = list(islice(_files(root), SAMPLE))
    return sum(found) / len(found) if found else 0.0


def _files(root: str) -> Iterator[bool]:
    for directory, _, names in os.walk(root):
        for name in names:
            try:
                status = os.lstat(os.path.join(directory, name))
            except OSError:
                continue
            yield status.st_atime_ns > status.st_mtime_ns + _SECOND_NS
