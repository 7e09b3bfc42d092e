"""What a data plane tells the controller of itself (contracts §5): mode, epoch, drive, store, journal."""

from __future__ import annotations

from collections.abc import Mapping

from dualtrack.engine import marker as markers
from dualtrack.engine.objects.opening import Opened
from dualtrack.errors import MarkerError


def acknowledgement(opened: Opened, degraded: bool) -> Mapping[str, object]:
    """The body without `ready`. The marker is read anew, because a Job may have moved it since the start."""
    info = opened.owner.info() if opened.owner is not None else None
    try:
        marker = markers.read(opened.drive.path)
        state, migration = marker.state.value, marker.migration_uid
    except MarkerError:
        state, migration, degraded = "", "", True
    return {
        "migrationUID": migration,
        "epoch": opened.mode.epoch,
        "engine": opened.mode.engine.value,
        "ratio": opened.mode.ratio_text,
        "fallback": "true" if opened.mode.fallback else "false",
        "bootID": opened.boot_id,
        "degraded": degraded,
        "drives": [
            {
                "path": opened.drive.path,
                "driveID": opened.drive.drive_id,
                "deploymentID": opened.drive.deployment_id,
                "storeUUID": info.store_uuid if info else "",
                "marker": state,
                "journalDepth": info.journal_depth if info else 0,
                "epochBroken": info.degraded if info else opened.mode.ratio > 0,
            }
        ],
    }
