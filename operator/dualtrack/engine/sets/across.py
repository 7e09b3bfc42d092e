"""Comparing the drives of a set with each other, once each of them equals its store.

Each drive may be exactly what its rows say and the set still be at fault: a drive that was away, a write that
never reached its quorum, two drives with different bodies under one header. Cleanup builds on rows only while
somebody knows of that, so a clean comparison, or an accepted one, is recorded in every store beside the
verification that it followed, and is void once that is another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from dualtrack.engine.inventory import Tally
from dualtrack.engine.sets.merge import Deviation
from dualtrack.engine.sets.rows import RowSource
from dualtrack.engine.sets.topology import group
from dualtrack.engine.sets.view import SetView
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError, RefusedError

META = "set-verified"
VERIFIED = "verified"
_SHOWN = 3


def compare(tasks: Sequence[Task], *, accept: bool = False) -> None:
    """Compare headers and decoded bodies of all drives. DifferenceError where one deviates, unless that is
    accepted; IncompleteError where versions cannot be decided, whatever is accepted.
    """
    deployment = group([task.drive for task in tasks])
    view = SetView(deployment, [RowSource.of(task.drive, task.owner) for task in tasks], bodies=True)
    tally = Tally()
    for bucket in view.buckets():
        for number, _ in enumerate(view.objects(bucket, tally)):
            if number % 1_000 == 0:
                tasks[0].checkpoint()
    by_path = {task.drive.path: task for task in tasks}
    for (path, deviation), count in view.deviations.counts.items():
        by_path[path].counts[deviation.value] += count
    for name in view.deviations.names:
        tasks[0].name(name)
    if tally.problems:
        raise IncompleteError(
            f"{len(tally.problems)} versions cannot be decided: {tally.problems[0].message}; name all drives "
            "of each set"
        )
    lines = list(view.deviations.summary())
    if lines and not accept:
        raise DifferenceError(
            f"drives deviate from their set: {'; '.join(lines)}; for example "
            f"{'; '.join(view.deviations.names[:_SHOWN])}. Let the server heal them and migrate again, or "
            "accept each drive as it is with --accept-deviations"
        )
    _record(tasks, sum(view.deviations.of(each) for each in Deviation))


def _record(tasks: Sequence[Task], accepted: int) -> None:
    drives = sorted(task.drive.drive_id for task in tasks)
    for task in tasks:
        record = {"drives": drives, "of": _digest(task), "accepted": accepted}
        task.commit(meta={META: json.dumps(record).encode()})


def require(task: Task) -> None:
    """Before cleanup: the whole set is named, and was compared after this drive's last verification."""
    members = frozenset(task.drive.set_members)
    if len(members) == 1:
        return
    if missing := sorted(members - task.peers - {task.drive.drive_id}):
        were = "was" if len(missing) == 1 else "were"
        raise RefusedError(
            f"{task.drive.path} is one of {len(members)} drives of its set, and {len(missing)} of them "
            f"{were} not named ({', '.join(missing)}): files may be taken only from all drives of a set at "
            "once, or its servers repair or delete the objects"
        )
    value = task.owner.meta(META)
    found = json.loads(value) if value else {"drives": [], "of": ""}
    if found["of"] != _digest(task) or not members <= set(found["drives"]):
        raise RefusedError(
            f"the drives of the set of {task.drive.path} were not compared with each other since its last "
            "verification: run verify with all of them, then this again"
        )


def _digest(task: Task) -> str:
    return hashlib.sha256(task.owner.meta(VERIFIED) or b"").hexdigest()
