"""Values kept for 30 days: what rows said before a sweep buried or replaced them, outside the store.

A sweep takes a file that is gone for a deletion, within limits, and the row of a file that it cannot read out
of service. Should that have been a mistake (a lost directory, a wrong `--accept-deletions`) or damage, the
row was the last that knew the object. So it is flushed to `<drive>/.dualtrack/deleted/` before what replaces
it is committed, each time into a file of its own, `<day>-<fence>-<number>.rows`, so that nothing follows what
a power cut has torn: a length (4 bytes) and the row with its check (`frames.row_bytes`), again and again.
What is torn was not replaced. Files that are older than 30 days go when a later sweep buries, by the clock
and by what the audit has seen of these days (`witness.py`).

`give_back` writes an object's file again from what was kept, and its row after it.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from dualtrack.engine import auditlog, files, frames, witness
from dualtrack.engine.authority import require_files_lead
from dualtrack.engine.drafts import draft_reader
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.marker import control_directory
from dualtrack.engine.naming import object_directory
from dualtrack.engine.places import object_exists
from dualtrack.engine.put_back import Writer
from dualtrack.engine.repair.outcome import needed_directories
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.protocol import Outcome, Place, Put
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, StoreCorruptError, UsageError

KEPT = timedelta(days=30)
BATCH = 256
_LENGTH = struct.Struct(">I")
_NAME = re.compile(r"(\d{8})-(\d+)-(\d+)\.rows")


class _Name(NamedTuple):
    day: str
    fence: int
    number: int

    def __str__(self) -> str:
        return f"{self.day}-{self.fence}-{self.number}.rows"


def keep(drive: str, now: datetime, fence: int, rows: Sequence[Row]) -> None:
    """Durable when it returns."""
    found = [frames.row_bytes(row) for row in rows if row.present]
    if not found:
        return
    folder, run = _folder(drive), (f"{now.astimezone(UTC):%Y%m%d}", fence)
    files.ensure_directory(folder)
    number = max((name.number for name in _names(drive) if (name.day, name.fence) == run), default=0) + 1
    data = b"".join(_LENGTH.pack(len(each)) + each for each in found)
    files.write_new(f"{folder}/{_Name(*run, number)}", data)
    files.sync_directory(folder)


def keep_rows_of(task: Task, places: Sequence[Place]) -> int:
    """`keep` for the rows of these places; of how many. A damaged row says nothing; no put replaces it."""
    count = 0
    for first in range(0, len(places), BATCH):
        rows = [row for row in _sound(task, places[first : first + BATCH]) if row and row.present]
        keep(task.drive.path, task.now(), task.fence, rows)
        count += len(rows)
    return count


def _sound(task: Task, places: Sequence[Place]) -> list[Row | None]:
    try:
        return task.owner.get_many(places)
    except StoreCorruptError:
        half = len(places) // 2
        return _sound(task, places[:half]) + _sound(task, places[half:]) if half else []


def expire(drive: str, now: datetime) -> int:
    """Remove files of days that are more than 30 days ago; how many. Names that are not ours stay."""
    last = f"{now.astimezone(UTC) - KEPT - timedelta(days=1):%Y%m%d}"
    old = [name for name in _names(drive) if name.day <= last]
    lines = auditlog.look(drive)[0] if old else []
    seen = {fence: witness.passed(lines, fence, now) for fence in {name.fence for name in old}}
    old = [name for name in old if seen[name.fence] >= KEPT]
    for name in old:
        files.unlink(f"{_folder(drive)}/{name}")
    return len(old)


def kept(drive: str) -> Iterator[tuple[str, Row]]:
    """Every kept row with the day of its deletion, oldest first. `StoreCorruptError` for a damaged one."""
    for name in _names(drive):
        with open(f"{_folder(drive)}/{name}", "rb") as file:
            while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
                length = _LENGTH.unpack(head)[0]
                if length > frames.MAX_FRAME:
                    raise StoreCorruptError(
                        f"{file.name}: a row of {length} bytes is announced; it is damaged"
                    )
                if len(data := file.read(length)) < length:
                    break  # torn: what it said was never replaced
                yield name.day, frames.row_of_bytes(data)


def places(drive: str) -> set[Place]:
    """Every object of which something is kept."""
    return {(row.bucket, row.key) for _, row in kept(drive)}


def give_back(task: Task, places: Sequence[Place]) -> None:
    """Write the files of these objects again, each as it was when it was last buried, and their rows.

    `UsageError` for one of which nothing was kept; `DifferenceError` names those that were left: an object
    that is there again, or whose data is gone.
    """
    require_files_lead(task, "giving deleted objects back")
    wanted = set(places)
    found = {
        (row.bucket, row.key): row for _, row in kept(task.drive.path) if (row.bucket, row.key) in wanted
    }
    for bucket, key in places:
        if (bucket, key) not in found:
            raise UsageError(
                f"{bucket}/{key}: nothing was kept of it; see: deleted list. Nothing was changed"
            )
    with task.recorded(
        "give back deleted", "delete the objects again", objects=["/".join(p) for p in places]
    ):
        for place in places:
            task.checkpoint()
            _give_back(task, found[place])
    if left := task.counts["left"]:
        raise DifferenceError(f"{left} of {len(places)} objects were left: {'; '.join(task.names[:3])}")


def _give_back(task: Task, row: Row) -> None:
    place = (row.bucket, row.key)
    with task.owner.locked([place]):
        if why := _objection(task, row):
            task.counts["left"] += 1
            task.name(f"{row.bucket}/{row.key}: {why}")
            return
        task.counts["given back"] += 1
        if task.dry_run:
            return
        generation = task.owner.next_generation()
        writer = Writer(task.drive.path, task.owner)
        # A server that knows nothing of our locks may have written it since we looked.
        writer.place(writer.stage([row]), over=False)
        draft = draft_reader(task.drive.path)(*place)
        assert draft is not None
        put = Put(Row.of(*place, generation, draft), draft.summary, "any", draft.versions)
        if task.commit((put,)) != (Outcome.APPLIED,):
            task.name(f"{row.bucket}/{row.key}: is being written; the next sweep reads it")
        task.committed += 1


def _objection(task: Task, row: Row) -> str:
    if object_exists(task.drive.path, (row.bucket, row.key)):
        return "its file is there; move it away first if it cannot be read"
    if any(found and found.present for found in task.owner.get_many([(row.bucket, row.key)])):
        return "it was written again since, and its row has that: repair --strategy sync-to-fs writes it"
    directory = os.fsencode(f"{task.drive.path}/{object_directory(row.bucket, row.key)}")
    for name in needed_directories(xlmeta.decode(row.data)):
        if not os.path.isdir(directory + b"/" + name):
            return f"its data {os.fsdecode(name)} is not on the drive any more"
    return ""


def _folder(drive: str) -> str:
    return f"{control_directory(drive)}/deleted"


def _names(drive: str) -> list[_Name]:
    """In the order in which they were written."""
    try:
        found = map(_NAME.fullmatch, os.listdir(_folder(drive)))
    except FileNotFoundError:
        return []
    return sorted(_Name(each[1], int(each[2]), int(each[3])) for each in found if each)
