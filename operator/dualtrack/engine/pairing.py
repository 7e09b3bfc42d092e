"""Files, rows and index entries of a drive, side by side in key order: the two passes of a verification in
one.

All three come sorted by (bucket, key), so one merge meets every object that any of them knows, and holds no
more in memory than a page of each. The system volume's few objects are walked first and sorted like a
bucket's. What could not be read goes to `failed`: its place in the order is not known, and its row stands
alone in the merge.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from dualtrack.engine.drive import Drive
from dualtrack.engine.inventory import in_key_order
from dualtrack.engine.judging import Evidence
from dualtrack.engine.listing import DirectoryReader, Found, Problem
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.places import object_path
from dualtrack.engine.rows import Row, is_system, order
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.walk import walk
from dualtrack.errors import StoreCorruptError

PAGE = 1_000
_Fail = Callable[[Problem], None]
_Merged = tuple[tuple[bytes, bytes], int, Place, Found | Row | bytes]
FileInOrder = tuple[tuple[bytes, bytes], int, Place, Found]
_FILE, _ROW, _ENTRY = range(3)


def pairs(drive: Drive, owner: OwnerApi, failed: _Fail) -> Iterator[tuple[Place, Evidence]]:
    """Every object that the drive, the rows or the index know, in order."""
    sources = files_in_order(drive, failed), _rows(owner), _entries(drive, owner)
    for _, group in groupby(heapq.merge(*sources, key=itemgetter(0)), key=itemgetter(0)):
        sides: dict[int, Found | Row | bytes] = {}
        place: Place = ("", "")
        for _, side, place, value in group:  # noqa: B007 - the place is the same in the whole group
            sides[side] = value
        yield place, Evidence(sides.get(_FILE), sides.get(_ROW), sides.get(_ENTRY))  # type: ignore[arg-type]


def read_many(owner: OwnerApi, reader: DirectoryReader, places: Sequence[Place]) -> list[Evidence]:
    """Objects read afresh: the files first, because rows follow them. A damaged row is told, not raised."""
    found = [reader.read(object_path(*place)) for place in places]
    rows = rows_of(owner, places)
    seen: list[Evidence] = []
    for place, file, row in zip(places, found, rows, strict=True):
        listed = [] if is_system(place[0]) else owner.scan_index(*place, None, 1)
        entry = listed[0][1] if listed and listed[0][0] == place[1] else None
        damage = row if isinstance(row, str) else ""
        seen.append(Evidence(file, None if isinstance(row, str) else row, entry, damage))
    return seen


def rows_of(owner: OwnerApi, places: Sequence[Place]) -> Sequence[Row | str | None]:
    """The rows; in the place of a damaged one what is wrong with it."""
    if not places:
        return []
    try:
        return owner.get_many(places)
    except StoreCorruptError as error:
        if len(places) == 1:
            return [str(error)]
    return [row for place in places for row in rows_of(owner, [place])]


def files_in_order(drive: Drive, failed: _Fail) -> Iterator[FileInOrder]:
    """The drive's files alone, system volume first; what cannot be read goes to `failed`."""
    system: list[Found] = []
    for part in walk(drive, buckets=[], system=True):
        system += part.objects
        for problem in part.problems:
            failed(problem)
    for found in sorted(system, key=lambda found: order(found.bucket, found.key)):
        yield order(found.bucket, found.key), _FILE, (found.bucket, found.key), found
    reader = DirectoryReader(drive.path)
    for bucket in drive.buckets():
        for each in in_key_order(reader, bucket):
            if isinstance(each, Problem):
                failed(each)
            else:
                yield order(each.bucket, each.key), _FILE, (each.bucket, each.key), each


def _rows(owner: OwnerApi) -> Iterator[_Merged]:
    after: Place | None = None
    while page := owner.scan(after, PAGE):
        for row in page:
            after = row.bucket, row.key
            yield order(*after), _ROW, after, row


def _entries(drive: Drive, owner: OwnerApi) -> Iterator[_Merged]:
    known = {*drive.buckets(), *(bucket for bucket in owner.stats().objects if not is_system(bucket))}
    for bucket in sorted(known, key=lambda name: order(name, "")):
        after: str | None = None
        while page := owner.scan_index(bucket, "", after, PAGE):
            for key, summary in page:
                yield order(bucket, key), _ENTRY, (bucket, key), summary
            after = page[-1][0]
