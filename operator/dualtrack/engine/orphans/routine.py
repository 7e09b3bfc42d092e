"""Orphans collected as part of another verb, so that somebody does it without being asked.

`cleanup directories` does, which each migration runs once its files are purged: a data directory that nothing
names keeps its object's directory from being removed. What is found is moved aside, not removed, with the
collection's own bounds, records and undo. What the collection refuses is no failure of the verb: it is told
in its result, and nothing of it is moved.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from dualtrack.engine.marker import MarkerState
from dualtrack.engine.orphans import collecting
from dualtrack.engine.orphans.finding import Verdict
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, FencedError, IncompleteError, MarkerError, RefusedError


def collect_beside(task: Task) -> None:
    """Move orphans aside, under the run and the limit of `task`. Nothing where the verb itself is too early,
    which it says."""
    if task.held_lock().state.state is not MarkerState.PURGED:
        return
    own = replace(task, counts=Counter(), names=[], notes={}, scanned=0, committed=0)
    try:
        collecting.collect(own)
    except (FencedError, MarkerError):
        raise
    except (RefusedError, IncompleteError, DifferenceError) as error:
        if task.stop():
            raise
        task.warn(f"orphans were left where they are: {error}")
    for told, name in (("orphansCollected", "collected"), ("orphansUnknown", Verdict.UNKNOWN)):
        if count := own.counts[name]:
            task.counts[told] = count
    if own.counts["collected"] and not task.dry_run:
        task.notes["orphans"] = f"moved aside; undo: dualtrack engine orphans undo {task.run_id}"
