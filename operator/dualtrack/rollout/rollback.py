"""Going back to the file system: when it may begin, and how it begins.

The stations of the way back are in `plan.back`; they follow from where it began, which is recorded. It is
latched: once begun it goes through, and RolledBack is left only by a higher attempt. Only a Job of the
restore that fails interrupts it.
"""

from __future__ import annotations

from dualtrack.api.conditions import Reason
from dualtrack.api.phases import FixedPhase
from dualtrack.api.status_people import RollbackStatus
from dualtrack.api.status_target import SwitchStage
from dualtrack.rollout import jobs, plan, travel
from dualtrack.rollout.draft import Draft, back_reach
from dualtrack.rollout.plan import Reach


def begin(draft: Draft, cause: Reason, message: str, *, actor: str = "operator") -> None:
    """Turn round here. The station is recorded, so that the way stays the same whatever happens on it."""
    origin, step = draft.phase, draft.step
    way = plan.back(back_reach(draft))
    switch = draft.status.switch
    if switch is not None and switch.stage == SwitchStage.APPLY:
        # What was wanted has not been applied, and the marker may not allow it any more. Until the way back
        # switches for itself, nothing is wanted, and whatever runs now counts as weaker.
        draft.set_target(desired=None, pods=None)
        draft.set(epoch=(draft.status.epoch or 1) + 1)
    draft.set(
        rollback=RollbackStatus(
            from_phase=origin, from_step=step, start_time=draft.now, cause=cause.value, message=message
        ),
        pause=None,
        pending_approval=None,
        switch=None,
        observation=None,
        reached_ratio_percent=None,
    )
    jobs.quiesce(draft)
    draft.event(Reason.ROLLING_BACK, f"rolling back from {origin}/{step}: {message}", "Warning")
    travel.enter(draft, way[0], cause, actor=actor, message=message)


def possible(draft: Draft) -> str:
    """Why a rollback cannot begin here; empty when it can."""
    if draft.phase in (FixedPhase.ROLLING_BACK, FixedPhase.ROLLED_BACK):
        return f"it is {draft.phase} already"
    if draft.phase == FixedPhase.FAILED or back_reach(draft) is Reach.NOTHING:
        return "nothing has been changed that could be taken back"
    return ""


def automatic_allowed(draft: Draft) -> bool:
    """Without a person asking: not once the store is the only copy."""
    return not (draft.phase == FixedPhase.COMPLETE or draft.step in plan.FROM_PURGE)
