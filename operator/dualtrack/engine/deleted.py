"""What a sweep took for deleted, or out of service: kept before it does so, and given back when asked.

Where and how values are kept is `kept_values.py`'s. `give_back` writes an object's file again from what was
kept, and its row after it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from dualtrack.engine import kept_values
from dualtrack.engine.authority import require_files_lead
from dualtrack.engine.drafts import draft_reader
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.naming import object_directory
from dualtrack.engine.places import object_exists
from dualtrack.engine.put_back import Writer
from dualtrack.engine.repair.outcome import needed_directories
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.protocol import Outcome, Place, Put
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, FormatError, StoreCorruptError, UsageError

BATCH = 256


def keep_rows_of(task: Task, places: Sequence[Place]) -> int:
    """`keep` for the rows of these places; of how many. A damaged row says nothing; no put replaces it."""
    count = 0
    for first in range(0, len(places), BATCH):
        rows = [row for row in _sound(task, places[first : first + BATCH]) if row and row.present]
        kept_values.keep(task.drive.path, task.now(), task.fence, rows)
        count += len(rows)
    return count


def _sound(task: Task, places: Sequence[Place]) -> list[Row | None]:
    try:
        return task.owner.get_many(places)
    except StoreCorruptError:
        half = len(places) // 2
        return _sound(task, places[:half]) + _sound(task, places[half:]) if half else []


def give_back(task: Task, places: Sequence[Place]) -> None:
    """Write the files of these objects again, each as it was when it was last buried, and their rows.

    `UsageError` for one of which nothing was kept; `DifferenceError` names those that were left: an object
    that is there again, or whose data is gone.
    """
    require_files_lead(task, "giving deleted objects back")
    wanted, damaged = set(places), list[str]()
    found = {
        (row.bucket, row.key): row
        for _, row in kept_values.kept(task.drive.path, damaged)
        if (row.bucket, row.key) in wanted
    }
    if damaged:
        task.warn(
            f"{len(damaged)} kept values are damaged, and nobody knows of which objects: "
            f"{'; '.join(damaged[:3])}; what is given back may not be the latest"
        )
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
    try:
        needed = needed_directories(xlmeta.decode(row.data))
    except FormatError as error:
        return f"what was kept cannot be decoded ({error})"
    for name in needed:
        if not os.path.isdir(directory + b"/" + name):
            return f"its data {os.fsdecode(name)} is not on the drive any more"
    return ""
