"""What a store holds, version by version in the order of an S3 listing, without a look at the drive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dualtrack.engine.entries import Entry, entries
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.jsonlines import json_lines
from dualtrack.engine.native import library
from dualtrack.engine.native.lines import LineWriter
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import Row, RowState, is_system
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.protocol import PackedRow, Place

PAGE = 1_000


def exported(owner: OwnerApi, resident: list[str]) -> Iterator[Entry]:
    """Every version of every present row, newest first in each object. Names of objects that the store only
    points to (their files cannot be decoded) are added to `resident`.
    """
    after: Place | None = None
    while page := owner.scan(after, PAGE):
        yield from _versions(page, resident)
        after = page[-1].bucket, page[-1].key


def exported_lines(owner: OwnerApi, resident: list[str]) -> Iterator[bytes]:
    """The same as lines of JSON, some at a time; natively where the library is there."""
    found = library.library()
    if found is None:
        yield from json_lines(exported(owner, resident))
        return
    drive_id = owner.info().drive_id
    writer = LineWriter(found, drive_id)
    after: Place | None = None
    while page := owner.scan_packed(after, PAGE):
        for item in writer.lines(page):
            if isinstance(item, bytes):
                yield item
            else:
                yield from json_lines(_versions([_opened(drive_id, item)], resident))
        after = keys.split_full(page[-1][0])


def _opened(drive_id: str, packed: PackedRow) -> Row:
    return envelope.unpack_row(drive_id.encode(), *packed)


def _versions(rows: Iterable[Row], resident: list[str]) -> Iterator[Entry]:
    for row in rows:
        if is_system(row.bucket):
            continue
        if row.state is RowState.FS_RESIDENT:
            resident.append(f"{row.bucket}/{row.key}")
        elif row.present:
            yield from entries(row.bucket, row.key, xlmeta.decode(row.data))
