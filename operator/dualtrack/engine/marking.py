"""Moving a drive's marker, one state at a time, each only on proof.

Forward the marker goes first and the servers' environment follows; backward it goes last, after the step back
has been verified. The proofs are the store's own records: which epoch was swept, which verification was
clean. The step to `Purged` is the purge's, never asked for by name.
"""

from __future__ import annotations

import json

from dualtrack.engine.lock import DriveLock
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.owner_api import OwnerInfo
from dualtrack.engine.task import Task
from dualtrack.errors import MarkerError

_DEGRADED = "the journal broke, so rows may be older than files; run migrate and verify first"


def mark(task: Task, lock: DriveLock, wanted: MarkerState) -> Marker:
    """Bring the marker to `wanted`; nothing where it is there already. `MarkerError` without the proof."""
    found, info = lock.state, task.owner.info()
    _ours(task, found)
    if found.state is wanted:
        return found
    if not _adjacent(found.state, wanted):
        raise MarkerError(
            f"{task.drive.path} is at {found.state}; its marker moves one state at a time, so not to {wanted}"
        )
    if why := _objection(task, info, found.state, wanted):
        raise MarkerError(f"{task.drive.path} stays at {found.state}: {why}")
    new = found.moved(
        wanted,
        store_uuid=info.store_uuid,
        epoch=task.epoch or info.epoch,
        migration_uid=task.migration_uid or found.migration_uid,
        now=task.now(),
    )
    if not task.dry_run:
        lock.move_marker(new)
        task.notes["undo"] = f"dualtrack engine mark --state {found.state}"
        if wanted is MarkerState.KV_ONLY and task.owner.info().degraded:
            # Until the marker was there, writes without a mark were answered: rows may lack one.
            lock.move_marker(found)
            raise MarkerError(f"{task.drive.path} stays at {found.state}: {_DEGRADED}")
    return new


def _adjacent(found: MarkerState, wanted: MarkerState) -> bool:
    """The way back from `Purged` is that from `KvOnly`: a restore."""
    if wanted is MarkerState.PURGED:
        return False
    if found is MarkerState.PURGED:
        return wanted is MarkerState.KV_PRIMARY
    return abs(found.rank - wanted.rank) == 1


def _ours(task: Task, found: Marker) -> None:
    fresh = found.state is MarkerState.FS_AUTHORITATIVE
    if not fresh and task.migration_uid and found.migration_uid not in ("", task.migration_uid):
        raise MarkerError(
            f"{task.drive.path} is at {found.state} for migration {found.migration_uid}, not for "
            f"{task.migration_uid}; let that one go on, or roll it back first"
        )


def _objection(task: Task, info: OwnerInfo, found: MarkerState, wanted: MarkerState) -> str:
    """Why the step is not proven; empty if it is."""
    if wanted is MarkerState.DUAL_WRITE or wanted is MarkerState.FS_AUTHORITATIVE:
        return ""
    if info.degraded:
        return _DEGRADED
    record = verified(task)
    if record is None or record["epoch"] != info.epoch:
        return f"no clean verification of epoch {info.epoch} is on record; run verify first"
    if found.reached(MarkerState.KV_ONLY):
        return "" if record["kind"] == "full" else "run restore, then verify (without --final), first"
    swept = task.owner.meta("swept_epoch")
    if swept is None or int(swept) != info.epoch:
        return f"epoch {info.epoch} has not been swept; run migrate first"
    return ""


def verified(task: Task) -> dict[str, object] | None:
    """The record of the last clean verification."""
    value = task.owner.meta("verified")
    record: dict[str, object] | None = json.loads(value) if value else None
    return record
