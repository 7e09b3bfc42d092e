"""Letting a deleted migration go: at once, or after the way back where its owner has asked for that.

Deletion must end even when the target, Prometheus or the namespace is gone, so everything that cannot be
done any more is left out, and said in an event.
"""

from __future__ import annotations

from dualtrack.api.conditions import Reason
from dualtrack.api.phases import FixedPhase
from dualtrack.api.spec import DeletionPolicy, Mode
from dualtrack.rollout import claim, jobs, kube, rollback
from dualtrack.rollout.decision import Delete
from dualtrack.rollout.draft import Draft


def settle(draft: Draft) -> bool:
    """True when nothing is left to do; False while a rollback has to end first."""
    if _rollback_wanted(draft):
        if draft.phase != FixedPhase.ROLLING_BACK:
            draft.set(pause=None)
            rollback.begin(draft, Reason.COMMANDED, "the migration was deleted with deletionPolicy: Rollback")
        return False
    jobs.quiesce(draft)
    lease = draft.seen.lease
    if lease is not None and claim.holds(draft):
        draft.act(
            Delete("coordination.k8s.io/v1", "Lease", draft.namespace, kube.name(lease), kube.uid(lease))
        )
    draft.done = True
    draft.message = "deleted; the target is left as it is"
    return True


def _rollback_wanted(draft: Draft) -> bool:
    if draft.spec.deletion_policy is not DeletionPolicy.ROLLBACK or draft.spec.mode is Mode.DRY_RUN:
        return False
    target = draft.seen.target
    gone = target is None and not draft.unread("target")
    anew = target is not None and kube.uid(target) != draft.target.uid
    if gone or anew or (draft.seen.lease is not None and not claim.holds(draft)):
        return False
    if draft.phase == FixedPhase.ROLLING_BACK:
        return True
    return not rollback.possible(draft) and rollback.automatic_allowed(draft)
