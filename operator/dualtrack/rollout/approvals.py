"""Asking a person, and telling an answer to this question from an answer to another.

What is asked has an id that follows from step, attempt and the evidence shown, so that an approval of one
state of affairs never approves another, and one of the cut-over never the purge. Only the pending question
can be answered; anything else is refused once, with an event.
"""

from __future__ import annotations

from dualtrack.api import commands
from dualtrack.api.commands import Malformed
from dualtrack.api.conditions import Reason
from dualtrack.api.status_people import PendingApproval
from dualtrack.rollout import messages
from dualtrack.rollout.draft import Draft, digest


def ask(draft: Draft, step: str, shown: str, *facts: object) -> None:
    """Put the question. The same facts are the same question; its wording may then stay as it was."""
    evidence = digest(step, *facts)
    ident = digest(draft.uid, draft.attempt, step, evidence)[7:19]
    pending = draft.status.pending_approval
    if pending is None or pending.id != ident:
        draft.set(
            pending_approval=PendingApproval(
                step=step,
                attempt=draft.attempt,
                id=ident,
                evidence_digest=evidence,
                since=draft.now,
                shown=shown,
            )
        )
        draft.event(Reason.APPROVAL_REQUIRED, f"{step} waits for an approval: {shown}")
    draft.await_(
        messages.awaiting(
            draft,
            f"waiting for an approval of {step}: {shown}; to approve: kubectl mmig approve {draft.name}"
            f" (approve {step}.{draft.attempt}.{ident})",
        )
    )


def answered(draft: Draft) -> str | None:
    """Who approved the pending question; None while nobody has. Refuses what answers something else."""
    approval = commands.approval(draft.resource.metadata.annotations)
    if approval is None or draft.held:
        return None
    text = f"{approval.annotation}={approval.value}" if isinstance(approval, Malformed) else approval.text
    if draft.handled(text) is not None:
        return None
    if isinstance(approval, Malformed):
        _refuse(draft, text, "Malformed", approval.message)
        return None
    actor = approval.approved_by or "Unverified"
    pending = draft.status.pending_approval
    if pending is None or (pending.step, pending.attempt, pending.id) != (
        approval.step,
        approval.attempt,
        approval.id,
    ):
        waiting = f"{pending.step}.{pending.attempt}.{pending.id}" if pending else "nothing"
        _refuse(draft, text, "Refused", f"approval {text} is ignored: {waiting} is pending", actor)
        return None
    draft.handle(text, "Done", actor)
    draft.event(Reason.APPROVED, f"{approval.step} was approved by {actor}")
    return actor


def refuse_unasked(draft: Draft) -> None:
    """An approval while nothing is asked is refused now, so that it cannot come true later."""
    if draft.status.pending_approval is None:
        answered(draft)


def _refuse(draft: Draft, text: str, outcome: str, why: str, actor: str = "Unverified") -> None:
    draft.handle(text, outcome, actor, why)
    draft.event(Reason.APPROVAL_IGNORED, why, "Warning")
