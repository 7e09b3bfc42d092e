"""What a Job's verified result means: what is written down of it, and whether it lets the migration go on.

A result that is ok can still say that one must not go on: a drive that is somebody else's, objects that
nobody has waived, a marker that is not where it was put. Then the migration pauses and says so.
"""

from __future__ import annotations

import re
from typing import Any, Final

from dualtrack.api.conditions import Reason
from dualtrack.api.status_work import DriveStatus, LedgerStatus, ReportStatus
from dualtrack.rollout import jobs, kube, waived
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import Step, Work, report_path
from dualtrack.rollout.world import JsonObject

_ROOT: Final = re.compile(r"[a-z0-9]{1,32}:[0-9a-f]{64,128}")


def accept(draft: Draft, step: Step, work: Work, result: JsonObject) -> bool:
    """Record the result; False when the migration was paused over it."""
    why = _objection(draft, step, work, result)
    if why:
        jobs.renew(draft, step)
        draft.pause(*why)
        return False
    _drive(draft, step, result)
    if repaired := _count(result, "repairedSince"):
        draft.event(
            Reason.REPAIRED,
            f"{repaired} objects were repaired since the last clean verification; know their cause",
            "Warning",
        )
    if step is Step.REPORT:
        _report(draft, result)
    if step is Step.LEDGER:
        _ledger(draft, result)
    return True


def _objection(draft: Draft, step: Step, work: Work, result: JsonObject) -> tuple[Reason, str] | None:
    drive = kube.dig(result, "drive")
    name = draft.spec.drives[0].name
    known = next((d for d in draft.status.drives or () if d.name == name), None)
    found_id = kube.dig(drive, "driveID")
    if known is not None and known.drive_id and found_id and found_id != known.drive_id:
        return (
            Reason.TARGET_CHANGED,
            f"drive {name}: its id is {found_id} in place of {known.drive_id}; another drive is mounted",
        )
    if step is Step.INVENTORY:
        return _already(draft, name, result)
    if work.verb[0] == "mark" and kube.dig(drive, "marker") not in (None, work.verb[-1]):
        return (
            Reason.JOB_FAILED,
            f"drive {name}: its marker is {kube.dig(drive, 'marker')} in place of {work.verb[-1]}",
        )
    if step is Step.REPORT and _root(result) is None:
        return (
            Reason.JOB_FAILED,
            "the report ended well and does not say its root: use one version of operator and engine, then"
            " resume",
        )
    if step in (Step.FULL_VERIFY, Step.FINAL_VERIFY):
        return waived.objection(draft, result)
    return None


def _already(draft: Draft, name: str, result: JsonObject) -> tuple[Reason, str] | None:
    marker = kube.dig(result, "drive", "marker")
    if marker in (None, "", "FsAuthoritative"):
        members = kube.dig(result, "counts", "setDrives")
        if isinstance(members, int) and members > 1:
            return (
                Reason.UNSUPPORTED_TOPOLOGY,
                f"drive {name}: its format.json has {members} drives; this version takes a server with one",
            )
        return None
    return (
        Reason.TARGET_ALREADY_MIGRATED,
        f"drive {name}: its marker is {marker}: another migration has brought it there; continue with that"
        " one, or"
        " let it roll back first",
    )


def _drive(draft: Draft, step: Step, result: JsonObject) -> None:
    name = draft.spec.drives[0].name
    drives = draft.status.drives or ()
    before = next((d for d in drives if d.name == name), DriveStatus(name=name))
    update: dict[str, Any] = {}
    for ours, theirs in (
        ("deployment_id", "deploymentID"),
        ("drive_id", "driveID"),
        ("store_uuid", "storeUUID"),
        ("marker", "marker"),
    ):
        value = kube.text(kube.dig(result, "drive", theirs), 64)
        if value:
            update[ours] = value
    if step is Step.INVENTORY:
        update |= {k: _count(result, k) for k in ("objects", "versions", "unreadable")}
        update["inodes_used_before"] = _count(result, "inodes")
    after = before.model_copy(update=update)
    draft.set(drives=(*(d for d in drives if d.name != name), after))


def _report(draft: Draft, result: JsonObject) -> None:
    """The root is published here, out of the reach of whoever could write the report anew."""
    path, root = report_path(draft.spec), _root(result)
    drive = draft.spec.drives[0].mount_path
    check = (
        f"dualtrack engine report check {path} --drive {drive} --store {drive}/.dualtrack/store --root {root}"
    )
    draft.set(
        report=ReportStatus(
            time=draft.now, root=root, objects=_count(result, "objects"), path=path, check=check
        )
    )


def _root(result: JsonObject) -> str | None:
    root = kube.text(kube.dig(result, "root"), 256)
    return root if root is not None and _ROOT.fullmatch(root) else None


def _ledger(draft: Draft, result: JsonObject) -> None:
    drive = next(iter(draft.status.drives or ()), None)
    draft.set(
        ledger=LedgerStatus(
            inodes_before=drive.inodes_used_before if drive else None,
            inodes_after=_count(result, "inodes"),
            rows=_count(result, "rows"),
            digest=kube.text(kube.dig(result, "digest"), 256),
            report_digest=kube.text(kube.dig(result, "reportDigest"), 256),
        )
    )


def _count(result: JsonObject, name: str) -> int | None:
    return kube.count(kube.dig(result, "counts", name))
