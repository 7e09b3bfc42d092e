"""The record: every condition, derived from the status and from what this pass has found.

Nothing here decides. Conditions of other concerns (MetricsAvailable, TargetDrifted) are set where they are
known and only get a first value here.
"""

from __future__ import annotations

from dualtrack.api.conditions import ConditionType, Reason
from dualtrack.api.phases import FixedPhase
from dualtrack.api.status_people import Display
from dualtrack.rollout import messages, plan
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import Reach, Step

_NEEDS_A_PERSON = frozenset(
    {
        Reason.SWITCH_DEADLINE,
        Reason.PHASE_DEADLINE,
        Reason.JOB_FAILED,
        Reason.VERIFICATION_DIFFERS,
        Reason.SAMPLE_DIFFERS,
        Reason.DRIFTED,
        Reason.TARGET_CHANGED,
        Reason.TARGET_ALREADY_MIGRATED,
        Reason.UNSUPPORTED_TOPOLOGY,
        Reason.GATE_FAILED,
        Reason.CRITICAL_GATE_FAILED,
    }
)


def derive(draft: Draft) -> None:
    """Set all conditions, the display columns and the message."""
    account_for_holding(draft)
    _paused(draft)
    _stalled(draft)
    _reconciling(draft)
    _ready(draft)
    _approval(draft)
    _point_of_no_return(draft)
    _succeeded(draft)
    for kind in (ConditionType.METRICS_AVAILABLE, ConditionType.TARGET_DRIFTED):
        if draft.find_condition(kind) is None:
            draft.condition(kind, None, Reason.NOT_NEEDED)
    paused = draft.status.pause is not None
    message = draft.message or messages.awaiting(draft, messages.held(draft) if paused else "going on")
    refused = draft.unread("action")
    draft.set(
        observed_generation=draft.resource.metadata.generation,
        message=f"{message}; the last {refused}" if refused else message,
        display=_display(draft),
    )


def _reason(word: str | None) -> Reason:
    """A recorded cause; one that a newer operator has written is shown as a person's."""
    return next((r for r in Reason if r == word), Reason.COMMANDED)


def _holding(draft: Draft) -> bool:
    return draft.status.pause is not None or draft.spec.suspend


def account_for_holding(draft: Draft) -> None:
    """Time in which nothing could go forward does not count against the phase's deadline. Once a pass."""
    if draft.accounted or _holding(draft):
        return
    draft.accounted = True
    before = draft.find_condition(ConditionType.PAUSED)
    if before is not None and before.status == "True":
        lasted = int(draft.age(before.last_transition_time))
        draft.set(paused_seconds=(draft.status.paused_seconds or 0) + lasted)


def _paused(draft: Draft) -> None:
    pause = draft.status.pause
    if pause is not None:
        cause = _reason(pause.cause)
        draft.condition(ConditionType.PAUSED, True, cause, messages.held(draft))
    elif draft.spec.suspend:
        draft.condition(ConditionType.PAUSED, True, Reason.SUSPENDED, messages.held(draft))
    else:
        draft.condition(ConditionType.PAUSED, False, Reason.NOT_NEEDED)


def _stalled(draft: Draft) -> None:
    pause = draft.status.pause
    if draft.stalled is not None:
        draft.condition(ConditionType.STALLED, True, *draft.stalled)
    elif pause is not None and pause.cause in _NEEDS_A_PERSON:
        draft.condition(ConditionType.STALLED, True, _reason(pause.cause), pause.message or "")
    elif draft.phase == FixedPhase.FAILED:
        draft.condition(ConditionType.STALLED, True, Reason.FAILED, "raise spec.attempt to start again")
    else:
        draft.condition(ConditionType.STALLED, False, Reason.NOT_NEEDED)


def _reconciling(draft: Draft) -> None:
    kind = ConditionType.RECONCILING
    switch = draft.status.switch
    if switch is not None:
        draft.condition(kind, True, Reason.SWITCHING, f"{switch.purpose}: {switch.stage}")
    elif draft.phase == FixedPhase.ROLLING_BACK:
        draft.condition(kind, True, Reason.ROLLING_BACK, draft.step)
    elif draft.step in (Step.CLAIM, Step.PREFLIGHT):
        draft.condition(kind, True, Reason.PREFLIGHT, draft.step)
    else:
        draft.condition(kind, False, Reason.NOT_NEEDED)


def _ready(draft: Draft) -> None:
    kind = ConditionType.READY
    pause = draft.status.pause
    if draft.stalled is not None:
        draft.condition(kind, False, *draft.stalled)
    elif pause is not None:
        cause = _reason(pause.cause)
        draft.condition(kind, False, cause, pause.message or "")
    elif draft.spec.suspend:
        draft.condition(kind, False, Reason.SUSPENDED, messages.held(draft))
    elif draft.status.switch is not None:
        draft.condition(kind, False, Reason.SWITCHING, "the target's environment is being changed")
    else:
        reasons = {
            FixedPhase.PENDING.value: (False, Reason.PENDING),
            FixedPhase.ROLLING_BACK.value: (False, Reason.ROLLING_BACK),
            FixedPhase.ROLLED_BACK.value: (False, Reason.ROLLED_BACK),
            FixedPhase.FAILED.value: (False, Reason.FAILED),
            FixedPhase.COMPLETE.value: (True, Reason.COMPLETE),
        }
        status, reason = reasons.get(draft.phase, (True, Reason.AS_WANTED))
        draft.condition(kind, status, reason, "on course" if status else "")


def _approval(draft: Draft) -> None:
    pending = draft.status.pending_approval
    kind = ConditionType.AWAITING_APPROVAL
    if pending is None:
        draft.condition(kind, False, Reason.NOT_NEEDED)
    else:
        draft.condition(kind, True, Reason.APPROVAL_REQUIRED, f"{pending.step}: {pending.shown}")


def _point_of_no_return(draft: Draft) -> None:
    kind = ConditionType.POINT_OF_NO_RETURN
    step = _furthest_step(draft)
    if step in plan.FROM_PURGE:
        draft.condition(
            kind, True, Reason.KV_IS_ONLY_COPY, "metadata files were removed: only the store has them"
        )
    elif step in plan.FROM_CUT_OVER:
        draft.condition(kind, True, Reason.NEEDS_RESTORE, "the way back is a restore from the store")
    else:
        draft.condition(kind, False, Reason.FILES_COMPLETE, "the file system has every write")


def _furthest_step(draft: Draft) -> str:
    """Where the files stand. On the way back that is where it began, until the restore was verified."""
    rollback = draft.status.rollback
    if draft.phase != FixedPhase.ROLLING_BACK or rollback is None:
        return draft.step if draft.phase in (FixedPhase.COMPLETING, FixedPhase.COMPLETE) else ""
    origin = plan.reach(draft.spec, rollback.from_phase or "", rollback.from_step or "")
    unrestored = (Step.WITHDRAW_CUT_OVER, Step.RESTORE, Step.RESTORE_VERIFY)
    return (rollback.from_step or "") if origin is Reach.KV_ONLY and draft.step in unrestored else ""


def _succeeded(draft: Draft) -> None:
    kind, text = ConditionType.SUCCEEDED, f"attempt {draft.attempt}"
    if draft.phase == FixedPhase.COMPLETE:
        draft.condition(kind, True, Reason.COMPLETE, text)
    elif draft.phase == FixedPhase.ROLLED_BACK:
        draft.condition(kind, False, Reason.ROLLED_BACK, text)
    elif draft.phase == FixedPhase.FAILED:
        draft.condition(kind, False, Reason.FAILED, text)
    else:
        draft.condition(kind, None, Reason.IN_PROGRESS, text)


def _display(draft: Draft) -> Display:
    desired, seen = draft.target.desired, draft.status.observation
    station = draft.station()
    observed = None
    if seen is not None and station is not None and station.window:
        observed = (
            f"{messages.short(seen.observed_seconds or 0)}/{messages.short(seen.required_seconds or 0)}"
        )
    job = next((j for j in draft.status.jobs or () if j.step == draft.step), None)
    progress = None
    if job is not None:
        share = (
            f"{min(100, 100 * job.scanned // job.total)}%" if job.scanned is not None and job.total else None
        )
        progress = share or (str(job.scanned) if job.scanned is not None else job.state)
    return Display(
        ratio=f"{desired.ratio_percent or 0}%" if desired else None, observed=observed, progress=progress
    )
