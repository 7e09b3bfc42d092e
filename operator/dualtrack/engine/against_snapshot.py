"""`verify --against-snapshot`: the store held against its last snapshot, to the key.

The snapshot has every row up to the generation that it states. A row that is newer was written since; one
that is not must be there, the same. So what differs is either later work, which is counted, or damage on one
of the two sides, which is named. Nothing is changed, and no file is read.
"""

from __future__ import annotations

from contextlib import closing

from dualtrack.engine import snapshot
from dualtrack.engine.bisecting import differing
from dualtrack.engine.rows import Generation
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, RefusedError


def verify_against_snapshot(task: Task, directory: str) -> None:
    """`DifferenceError` names rows that should be the same in both and are not."""
    record = snapshot.last(task)
    if record is None or record.path != snapshot.place(directory):
        known = f"the last one lies in {record.path}" if record else "none was ever taken"
        raise RefusedError(f"{directory} is not this store's last snapshot ({known})")
    stated = Generation(*record.generation)
    task.total = sum(task.owner.stats().objects.values())
    with closing(LmdbStore.open(record.path, task.drive.drive_id)) as copy:
        for place in differing(task.owner, copy):
            task.checkpoint()
            mine, theirs = task.owner.get_many([place])[0], copy.get_many([place])[0]
            if mine == theirs:
                continue  # settled between two looks
            if mine is not None and mine.generation > stated:
                task.counts["newer"] += 1
                continue
            task.counts["differences"] += 1
            task.name(f"{'/'.join(place)}: {_why(mine is not None, theirs is not None)}")
    task.scanned = task.total
    if wrong := task.counts["differences"]:
        raise DifferenceError(
            f"{wrong} rows differ between {task.store_dir} and its snapshot in {record.path}: "
            f"{'; '.join(task.names[:3])}; find out which of the two is right before either is used"
        )
    task.notes["message"] = (
        f"store and snapshot agree in every row up to {stated.term}-{stated.counter}; "
        f"{task.counts['newer']} rows were written since"
    )


def _why(in_store: bool, in_copy: bool) -> str:
    if in_store and in_copy:
        return "the rows are not the same"
    return "the snapshot does not have it" if in_store else "the store does not have it"
