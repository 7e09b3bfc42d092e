"""Attempts: the first look at a new resource, and a higher attempt after a rollback or a failure.

What went wrong stays latched until somebody raises `spec.attempt`. A new attempt keeps the claim, the epoch,
the fence and the record of what happened; everything that was observed, asked or done belongs to the old one.
"""

from __future__ import annotations

from dualtrack.api.conditions import Reason
from dualtrack.api.phases import FixedPhase
from dualtrack.rollout import plan, travel
from dualtrack.rollout.draft import Draft


def begin(draft: Draft) -> bool:
    """Start the attempt that is due; True when this pass has done so."""
    if not draft.phase:
        draft.set(attempt=draft.spec.attempt)
        travel.enter(draft, plan.forward(draft.spec)[0], Reason.ACCEPTED)
        return True
    if draft.spec.attempt <= draft.attempt or draft.phase not in (FixedPhase.ROLLED_BACK, FixedPhase.FAILED):
        return False
    if draft.spec.suspend:
        return False  # nothing goes forward, and the record of what went wrong stays
    draft.set(
        attempt=draft.spec.attempt,
        reached_ratio_percent=None,
        validation=None,
        switch=None,
        observation=None,
        gates=None,
        jobs=None,
        pause=None,
        rollback=None,
        pending_approval=None,
        report=None,
        ledger=None,
        sample=None,
        timings=None,
    )
    claimed = draft.target.lease_name is not None
    travel.enter(draft, plan.forward(draft.spec)[1 if claimed else 0], Reason.NEW_ATTEMPT)
    draft.message = f"attempt {draft.attempt} begins"
    return True
