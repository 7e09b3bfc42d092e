"""Rows whose files are gone: what a complete sweep did not meet becomes a tombstone, within limits.

A generation is taken first and each file asked for by name afterwards, so a file that appears meanwhile has a
newer row or a mark, and the tombstone loses. A file that cannot be asked for (I/O, permission) stops
everything. If too large a part of a bucket or of the drive seems to be gone, nothing is deleted: a directory
that was lost looks the same. What the buried rows said is kept first (`deleted.py`).

A tombstone below the trust floor is confirmed in the same way: where rows alone answer, nobody may believe it
before, and its key could be neither read nor written.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dualtrack.engine import deleted, kept_values
from dualtrack.engine.places import file_exists, meta_file, object_exists
from dualtrack.engine.rows import NO_FILE, Generation, Row, RowState
from dualtrack.engine.stores.protocol import Batch, Outcome, Place, Put
from dualtrack.engine.task import Task
from dualtrack.errors import IncompleteError

PAGE = 5_000
FEW = 100
MOST = 10_000
SHARE = 100


def allowed(rows: int) -> int:
    """How many rows of a bucket may go at once: 1 %, at most 10,000. In a small bucket, where 1 % is less
    than a person deletes, up to 100, but never more than half: a bucket is never emptied unasked.
    """
    return min(MOST, max(min(FEW, rows // 2), rows // SHARE))


def allowed_in_all(rows: int) -> int:
    """Of all rows of a drive, so that many small buckets together are no way around."""
    return max(FEW, rows // SHARE)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What somebody has said to be meant: any number of deletions, or at most so many of a bucket."""

    everything: bool = False
    of: Mapping[str, int] = field(default_factory=dict)

    def limit(self, bucket: str, otherwise: int) -> float:
        """How many rows of this bucket may go at once."""
        return math.inf if self.everything else max(self.of.get(bucket, 0), otherwise)


NOTHING = Accepted()


def unknown(task: Task, accepted: Accepted) -> list[str]:
    """Buckets of which deletions were accepted and that neither the drive nor the store has ever had: perhaps
    mistyped. One that has nothing to delete is none of them, because a Job says the same each time it runs.
    """
    return [
        bucket
        for bucket in accepted.of
        if not os.path.lexists(f"{task.drive.path}/{bucket}")
        and all(row.bucket != bucket for row in task.owner.scan((bucket, ""), 1))
    ]


def tombstone(task: Task, start: Generation, damaged: set[Place], accepted: Accepted) -> list[Place]:
    """Tombstones for rows older than the pass (`start`) that have no file. Returns their places; those whose
    rows are damaged go into `damaged` and are left alone.

    `IncompleteError` where a bucket or the drive would lose more than `allowed` and was `accepted`.
    """
    rows: Counter[str] = Counter()
    gone: dict[str, list[Row]] = defaultdict(list)
    after: Place | None = None
    floor = task.owner.info().trust_floor
    while True:
        generation = task.owner.next_generation()
        page = task.owner.scan_older(after, start, floor, PAGE)
        if page.last is None:
            break
        after = page.last
        damaged.update(page.damaged)
        _confirm(task, page.rows, generation)
        rows.update(page.newer)
        for row in page.rows:
            if row.state is RowState.TOMBSTONE:
                continue
            rows[row.bucket] += 1
            if not _there(task, row):
                gone[row.bucket].append(Row.tombstone(row.bucket, row.key, generation))
        for bucket, tombstones in gone.items():
            if len(tombstones) > (limit := accepted.limit(bucket, MOST)):
                raise _refused(
                    f"{len(tombstones)} of the first {rows[bucket]} rows of bucket {bucket}", limit
                )
        task.checkpoint()
    for bucket, tombstones in gone.items():
        if len(tombstones) > (limit := accepted.limit(bucket, allowed(rows[bucket]))):
            raise _refused(f"{len(tombstones)} of {rows[bucket]} rows of bucket {bucket}", limit)
    unnamed, of_all = sum(len(gone[bucket]) for bucket in gone.keys() - accepted.of.keys()), rows.total()
    if unnamed > allowed_in_all(of_all) and not accepted.everything:
        raise _refused(f"{unnamed} of {of_all} rows of all buckets", allowed_in_all(of_all))
    if not any(gone.values()):
        return []
    buckets = {bucket: len(tombstones) for bucket, tombstones in gone.items() if tombstones}
    with task.recorded(
        "tombstone", f"dualtrack engine deleted give-back --drive {task.drive.path}", buckets=buckets
    ):
        return _commit(task, [row for tombstones in gone.values() for row in tombstones])


def _confirm(task: Task, rows: Sequence[Row], generation: Generation) -> None:
    """Renew those of these rows that are tombstones and still have no file."""
    puts = [
        Put(Row.tombstone(row.bucket, row.key, generation), versions=0)
        for row in rows
        if row.state is RowState.TOMBSTONE and not _there(task, row)
    ]
    if puts and not task.dry_run:
        task.owner.commit(Batch(task.fence, tuple(puts)))
        task.counts["confirmed_tombstones"] += len(puts)


def _there(task: Task, row: Row) -> bool:
    """Whether the object is. One without a file that could be opened (a link) is known by its directory."""
    place = (row.bucket, row.key)
    if row.state is RowState.FS_RESIDENT and row.fingerprint == NO_FILE:
        return file_exists(os.path.dirname(meta_file(task.drive.path, place)))
    return object_exists(task.drive.path, place)


def _refused(what: str, limit: float) -> IncompleteError:
    return IncompleteError(
        f"{what} have no file any more, more than {limit}; nothing was deleted: see that the drive is "
        "mounted and whole, then run migrate with --accept-deletions-of BUCKET=N (in a MetadataMigration: "
        "spec.sweep.acceptedDeletions)"
    )


def _commit(task: Task, tombstones: list[Row]) -> list[Place]:
    buried: list[Place] = []
    if task.dry_run:
        return buried
    task.counts["expired"] += kept_values.expire(task.drive.path, task.now())
    for first in range(0, len(tombstones), PAGE):
        part = tombstones[first : first + PAGE]
        deleted.keep_rows_of(task, [(row.bucket, row.key) for row in part])
        result = task.owner.commit(Batch(task.fence, tuple(Put(row, versions=0) for row in part)))
        for row, outcome in zip(part, result.outcomes, strict=True):
            if outcome is Outcome.APPLIED:
                buried.append((row.bucket, row.key))
        task.checkpoint()
    task.counts["tombstones"] = len(buried)
    return buried
