"""Which side may be believed: the question before anything is copied from files to rows or back.

Below `KvOnly` files are the truth, and a row that differs is wrong. From `KvOnly` on rows are. A verb that
copies in one direction asks here first, and is refused where that direction would put the old over the new.
"""

from __future__ import annotations

from dualtrack.engine import marker
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.owner_api import OwnerInfo
from dualtrack.engine.task import Task
from dualtrack.errors import MarkerError, OwnerError


def require_files_lead(task: Task, verb: str) -> None:
    """`MarkerError` where rows are newer than files; `OwnerError` where the run is of another epoch."""
    info = task.owner.info()
    state = marker.read(task.drive.path).state
    if state.reached(MarkerState.KV_ONLY) or info.engine == "kv_only":
        raise MarkerError(
            f"{task.drive.path} is at {state}: its rows are newer than its files, and {verb} would put old "
            "metadata in their place; nothing was changed: restore first"
        )
    require_epoch(task, info)


def require_epoch(task: Task, info: OwnerInfo) -> None:
    """`OwnerError` where the store's owner is in another epoch than the run was ordered for."""
    if task.epoch and task.epoch != info.epoch:
        raise OwnerError(
            f"the store's owner is at epoch {info.epoch}, this run was ordered for epoch {task.epoch}: the "
            "target's environment has changed since; nothing more was changed: let the operator order it anew"
        )
