"""The record of the last full verification, and whether cleanup may build on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from dualtrack.engine.marker import MarkerState
from dualtrack.engine.rows import Generation
from dualtrack.engine.task import Task
from dualtrack.errors import RefusedError

RECORD = "verified"
ACCEPTED = "hold/accepted"


@dataclass(frozen=True, slots=True)
class Verified:
    """Only a clean and complete verification leaves a record; `generation` is the one it began with."""

    time: datetime
    epoch: int
    generation: Generation


def last(task: Task) -> Verified | None:
    value = task.owner.meta(RECORD)
    if value is None:
        return None
    fields = json.loads(value)
    return Verified(
        datetime.fromisoformat(fields["time"]),
        int(fields["epoch"]),
        Generation.unpack(bytes.fromhex(fields["generation"])),
    )


def require_clean(task: Task) -> Verified:
    """`RefusedError` unless the last full verification was clean, whole, of this epoch and recent enough."""
    found = last(task)
    remedy = "run verify (in kv_only verify --final) to its end, then this again"
    if found is None:
        raise RefusedError(f"the store has no record of a clean full verification: {remedy}")
    epoch = task.epoch or task.owner.info().epoch
    if found.epoch != epoch:
        raise RefusedError(f"the verification is of epoch {found.epoch}, but it is {epoch} now: {remedy}")
    state = task.held_lock().state
    if (
        state.state.reached(MarkerState.KV_ONLY)
        and found.time < datetime.fromisoformat(state.changed)
        and task.owner.meta(ACCEPTED) != task.owner.meta(RECORD)
    ):
        raise RefusedError(
            f"the verification of {found.time} is older than the cut-over at {state.changed}: {remedy}"
        )
    return found


def accept(task: Task) -> None:
    """Put down that this verification, older than the marker that is raised on it, is good enough: each file
    is compared once more before it is held.
    """
    task.commit(meta={ACCEPTED: task.owner.meta(RECORD)})
