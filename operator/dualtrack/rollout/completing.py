"""The two decisions that a person makes by default: the cut-over and the purge.

Each shows what it rests on. The evidence of a question is made of facts that do not change while it waits,
so that its id holds until one of them does.
"""

from __future__ import annotations

from dualtrack.api.conditions import Reason
from dualtrack.api.phases import ApprovalPolicy, ApprovalStep, SnapshotDevice
from dualtrack.api.status_work import JobState
from dualtrack.rollout import approvals, drain, jobs, kube, messages, travel
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import Ask, Station, Step


def ask(draft: Draft, station: Station, task: Ask) -> None:
    """Wait for the approval of this step; automatic ones pass with the same evidence on record."""
    missing = _missing(draft, task.step)
    if missing:
        draft.await_(messages.awaiting(draft, missing))
        return
    shown, facts = _evidence(draft, task.step)
    if draft.spec.completing.approval_policy(task.step) is ApprovalPolicy.AUTOMATIC:
        travel.advance(draft, station, Reason.APPROVED, actor="spec.completing.approvals")
        return
    approvals.ask(draft, task.step.value, shown, *facts)
    pending = draft.status.pending_approval
    actor = approvals.answered(draft)
    if actor is not None:
        evidence = pending.evidence_digest if pending else None
        travel.advance(draft, station, Reason.APPROVED, actor=actor, evidence=evidence)


def ready_for_cut_over(draft: Draft) -> bool:
    """The journals must be empty: what lies in one is not in the store yet."""
    waiting = drain.journals_empty(draft)
    if waiting:
        draft.await_(messages.awaiting(draft, f"waiting for empty journals: {waiting}"), delay=3.0)
    return not waiting


def _missing(draft: Draft, step: ApprovalStep) -> str:
    if step is ApprovalStep.PURGE and draft.spec.completing.snapshot_claim_name is None:
        return (
            "the purge needs a snapshot of the store outside the drive; name a PersistentVolumeClaim in"
            " spec.completing.snapshotClaimName"
        )
    name = draft.spec.completing.snapshot_claim_name
    if step is ApprovalStep.PURGE and not any(kube.name(c) == name for c in draft.seen.claims or ()):
        return (
            f"spec.completing.snapshotClaimName: PersistentVolumeClaim {name} does not exist or could not be"
            " read; create it"
        )
    return ""


def _evidence(draft: Draft, step: ApprovalStep) -> tuple[str, tuple[object, ...]]:
    drive = next(iter(draft.status.drives or ()), None)
    counted = (
        f"{drive.objects} objects, {drive.versions} versions, {drive.unreadable} unreadable" if drive else ""
    )
    waived = f"{len(draft.spec.completing.waivers)} waived"
    if step is ApprovalStep.CUT_OVER:
        verified = _digest(draft, Step.FULL_VERIFY)
        text = (
            f"full verification clean ({verified}); {counted}; {waived}; from here the way back is a restore"
        )
        return text, (verified, counted, waived)
    verified, held = _digest(draft, Step.FINAL_VERIFY), _digest(draft, Step.HOLD)
    claim = draft.spec.completing.snapshot_claim_name
    if draft.spec.completing.snapshot_device is SnapshotDevice.ANY:
        claim = f"{claim}, on whatever disk"
    text = (
        f"final verification clean ({verified}); files held ({held}); {counted}; {waived}; snapshot to"
        f" {claim};"
        " from here the store is the only copy"
    )
    return text, (verified, held, counted, waived, claim)


def _digest(draft: Draft, step: Step) -> str:
    entry = jobs.find(draft, step)
    if entry is None or entry.state != JobState.COMPLETE:
        return "not verified"
    return entry.report_digest or entry.name
