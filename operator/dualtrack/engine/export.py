"""What a store holds, version by version in the order of an S3 listing, without a look at the drive.

An export may be the last way out of a store. So a damaged row stops no other: it is named, and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dualtrack.engine.entries import Entry, entries
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.jsonlines import json_lines
from dualtrack.engine.native import library
from dualtrack.engine.native.lines import LineWriter
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import RowState, is_system
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.protocol import PackedRow, Place
from dualtrack.errors import FormatError, StoreCorruptError

PAGE = 1_000


@dataclass(slots=True)
class LeftOut:
    """Names of objects of which nothing was exported: `resident`, whose files cannot be decoded, so that the
    store only points to them, and `damaged`, whose rows do not prove themselves.
    """

    resident: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def exported(owner: OwnerApi, left_out: LeftOut) -> Iterator[Entry]:
    """Every version of every present row, newest first in each object."""
    drive_id = owner.info().drive_id
    for page in _pages(owner):
        for packed in page:
            yield from _versions(drive_id, packed, left_out)


def exported_lines(owner: OwnerApi, left_out: LeftOut) -> Iterator[bytes]:
    """The same as lines of JSON, some at a time; natively where the library is there."""
    found = library.library()
    if found is None:
        yield from json_lines(exported(owner, left_out))
        return
    drive_id = owner.info().drive_id
    writer = LineWriter(found, drive_id)
    for page in _pages(owner):
        for item in writer.lines(page):
            if isinstance(item, bytes):
                yield item
            else:
                yield from json_lines(_versions(drive_id, item, left_out))


def _pages(owner: OwnerApi) -> Iterator[list[PackedRow]]:
    after: Place | None = None
    while page := owner.scan_packed(after, PAGE):
        yield page
        after = keys.split_full(page[-1][0])


def _versions(drive_id: str, packed: PackedRow, left_out: LeftOut) -> list[Entry]:
    """All of one row, or none."""
    try:
        row = envelope.unpack_row(drive_id.encode(), *packed)
        if is_system(row.bucket):
            return []
        if row.state is RowState.FS_RESIDENT:
            left_out.resident.append(f"{row.bucket}/{row.key}")
        elif row.present:
            return list(entries(row.bucket, row.key, xlmeta.decode(row.data)))
    except (StoreCorruptError, FormatError):
        left_out.damaged.append("/".join(keys.split_full(packed[0])))
    return []
