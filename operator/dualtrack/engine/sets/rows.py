"""A store as a source of the set view: its rows, in the order of their keys, as if they were read files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dualtrack.engine import naming
from dualtrack.engine.drive import Drive
from dualtrack.engine.listing import Found, Problem
from dualtrack.engine.look import Look
from dualtrack.engine.rows import Row, RowState, is_system

FIRST_PAGE, PAGE = 64, 1_000


@dataclass(frozen=True, slots=True)
class RowSource:
    """See `view.Source`. A row that only points to its file is a problem: nobody can read it here.

    Only keys that start with `prefix`, and only those behind `after`, which is one that does.
    """

    drive: Drive
    owner: Look
    buckets: frozenset[str]
    prefix: str = ""
    after: str | None = None

    @classmethod
    def of(cls, drive: Drive, owner: Look) -> RowSource:
        """`drive.buckets` are those of its rows: a bucket without objects is on the drive alone."""
        buckets = frozenset(bucket for bucket in owner.stats().objects if not is_system(bucket))
        return cls(drive, owner, buckets)

    def objects(self, bucket: str) -> Iterator[Found | Problem]:
        for row in self._rows(bucket):
            if row.present or row.state is RowState.FS_RESIDENT:
                yield _found(row)

    def _rows(self, bucket: str) -> Iterator[Row]:
        if self.after is None and self.prefix:
            # A scan gives what lies behind a key, and the prefix may be one.
            yield from (row for row in self.owner.get_many([(bucket, self.prefix)]) if row is not None)
        after = (bucket, self.prefix if self.after is None else self.after)
        size = FIRST_PAGE
        while page := self.owner.scan(after, size):
            for row in page:
                if row.bucket != bucket or not row.key.startswith(self.prefix):
                    return
                yield row
                after = row.bucket, row.key
            size = PAGE


def _found(row: Row) -> Found | Problem:
    path = naming.meta_path(row.bucket, row.key)
    if row.state is RowState.FS_RESIDENT:
        message = f"{path} is in its file only, because it cannot be decoded"
        return Problem(row.bucket, row.key, path, "quarantined", message, False)
    return Found(row.bucket, row.key, path, row.fingerprint, row.mode, row.uid, row.gid, row.data)
