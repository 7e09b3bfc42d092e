"""A store as a source of the set view: its rows, in the order of their keys, as if they were read files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dualtrack.engine import naming
from dualtrack.engine.drive import Drive
from dualtrack.engine.listing import Found, Problem
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import Row, RowState, is_system

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class RowSource:
    """See `view.Source`. A row that only points to its file is a problem: nobody can read it here."""

    drive: Drive
    owner: OwnerApi
    buckets: frozenset[str]

    @classmethod
    def of(cls, drive: Drive, owner: OwnerApi) -> RowSource:
        """`drive.buckets` are those of its rows: a bucket without objects is on the drive alone."""
        buckets = frozenset(bucket for bucket in owner.stats().objects if not is_system(bucket))
        return cls(drive, owner, buckets)

    def objects(self, bucket: str) -> Iterator[Found | Problem]:
        after = (bucket, "")
        while page := self.owner.scan(after, PAGE):
            for row in page:
                if row.bucket != bucket:
                    return
                if row.present or row.state is RowState.FS_RESIDENT:
                    yield _found(row)
                after = row.bucket, row.key


def _found(row: Row) -> Found | Problem:
    path = naming.meta_path(row.bucket, row.key)
    if row.state is RowState.FS_RESIDENT:
        message = f"{path} is in its file only, because it cannot be decoded"
        return Problem(row.bucket, row.key, path, "quarantined", message, False)
    return Found(row.bucket, row.key, path, row.fingerprint, row.mode, row.uid, row.gid, row.data)
