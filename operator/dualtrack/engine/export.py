"""What a store holds, version by version in the order of an S3 listing, without a look at the drive."""

from __future__ import annotations

from collections.abc import Iterator

from dualtrack.engine.entries import Entry, entries
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import RowState, is_system
from dualtrack.engine.stores.protocol import Place

PAGE = 1_000


def exported(owner: OwnerApi, resident: list[str]) -> Iterator[Entry]:
    """Every version of every present row, newest first in each object. Names of objects that the store only
    points to (their files cannot be decoded) are added to `resident`.
    """
    after: Place | None = None
    while page := owner.scan(after, PAGE):
        for row in page:
            after = row.bucket, row.key
            if is_system(row.bucket):
                continue
            if row.state is RowState.FS_RESIDENT:
                resident.append(f"{row.bucket}/{row.key}")
            elif row.present:
                yield from entries(row.bucket, row.key, xlmeta.decode(row.data))
