"""Warm-up and observation: waiting for time that really was good, and leaving only on a positive verdict.

Elapsed time alone never leaves a window. What leaves it is the judgement of the pass in which the window
was complete, made in `evaluation` before this page is asked.
"""

from __future__ import annotations

from decimal import Decimal

from dualtrack.api.conditions import Reason
from dualtrack.api.phases import ApprovalPolicy
from dualtrack.rollout import approvals, messages, travel, window
from dualtrack.rollout.draft import Draft, Judgement, digest
from dualtrack.rollout.plan import Station, WarmUp, Watch


def warm_up(draft: Draft, station: Station, task: WarmUp) -> None:
    left = task.seconds - draft.age(draft.status.step_start_time)
    if left <= 0:
        travel.advance(draft, station, Reason.OBSERVING)
        return
    total = messages.duration(task.seconds)
    draft.await_(messages.awaiting(draft, f"warming up for {total}; only Critical gates act"), delay=left)


def watch(draft: Draft, station: Station, task: Watch) -> None:
    """Leave when the window held, with evidence; ask first where somebody wants to be asked."""
    if station.window == 0:
        travel.advance(draft, station, Reason.GATES_PASSED)
        return
    step = draft.phase if draft.traffic_phase() is not None else station.step.value
    actor = approvals.answered(draft)
    if actor is not None:
        pending = draft.status.pending_approval
        evidence = pending.evidence_digest if pending else None
        travel.advance(draft, station, Reason.APPROVED, actor=actor, evidence=evidence)
    elif draft.judged is Judgement.NEEDS_APPROVAL:
        _ask(draft, step, "the window is complete, its evidence is not: ")
    elif draft.judged is Judgement.PASSED and task.approval is ApprovalPolicy.MANUAL:
        _ask(draft, step, "the window held: ")
    elif draft.judged is Judgement.PASSED:
        travel.advance(draft, station, Reason.GATES_PASSED, evidence=digest(evidence_text(draft)))
    elif draft.status.pending_approval is not None:
        _keep_asking(draft)
    else:
        draft.await_(progress(draft))


def judge_again(draft: Draft) -> None:
    """The window held, and is not left yet: judge it anew at the next evaluation, however little it grew."""
    gates = tuple(g.model_copy(update={"judged_samples": None}) for g in draft.status.gates or ())
    draft.set(gates=gates or None)


def evidence_text(draft: Draft) -> str:
    """What the gates have shown, in a line."""
    shown = []
    for gate in draft.status.gates or ():
        bound = f", bound reached {gate.upper_bound}" if gate.upper_bound else ""
        shown.append(f"{gate.name} {gate.verdict}: {gate.bad} of {gate.samples}{bound}, max {gate.bound}")
    return "; ".join(shown)


def progress(draft: Draft) -> str:
    """What an observed station waits for."""
    seen = draft.window
    observed, required = seen.observed_seconds or 0, seen.required_seconds or 0
    coverage = draft.spec.evaluation.minimum_coverage_percent
    begun = seen.window_start
    text = f"{messages.duration(observed)} of {messages.duration(required)} good time"
    if observed < required:
        what = f"waiting for more good time ({text})"
    elif not window.complete(seen, coverage):
        what = f"waiting for coverage: {seen.coverage_percent} % of at least {coverage} % ({text})"
    else:
        what = f"waiting for evidence ({text})"
    open_ = [
        f"gate {g.name} {g.verdict}" + (f" ({g.message})" if g.message else "") + _needed(g.samples_needed)
        for g in draft.status.gates or ()
        if g.verdict not in (None, "Pass")
    ]
    gates = "; ".join(open_) if open_ else "all gates pass"
    unseen = f"; last interval not counted: {seen.message}" if seen.message else ""
    return messages.awaiting(draft, f"{what}; {gates}{unseen}", begun)


def loosened(draft: Draft) -> bool:
    """A gate that became easier in mid-window must not profit from what was counted under the old bound."""
    known = {s.name: s.bound for s in draft.status.gates or ()}
    easier = [g for g in draft.spec.gates if (bound := known.get(g.name)) and Decimal(g.max) > Decimal(bound)]
    if not easier or draft.status.observation is None:
        return False
    text = ", ".join(f"{g.name} from {known[g.name]} to {g.max}" for g in easier)
    draft.record(draft.phase, draft.phase, Reason.WINDOW_RESTARTED, message=f"loosened: {text}")
    draft.event(
        Reason.WINDOW_RESTARTED, f"{draft.phase}: the window begins anew, a gate was loosened: {text}"
    )
    travel.restart_window(draft)
    return True


def overdue(draft: Draft) -> bool:
    """Past its deadline, pauses and suspensions not counted, a traffic phase pauses."""
    phase = draft.traffic_phase()
    if phase is None or draft.status.phase_start_time is None:
        return False
    lasted = draft.age(draft.status.phase_start_time) - (draft.status.paused_seconds or 0)
    if lasted <= phase.deadline_seconds:
        return False
    draft.pause(
        Reason.PHASE_DEADLINE,
        f"{phase.name} lasts longer than its deadlineSeconds ({phase.deadline_seconds}): {progress(draft)};"
        " resuming grants it the same time again",
    )
    return True


def _needed(samples: int | None) -> str:
    return f", {samples} more samples needed" if samples else ""


def _ask(draft: Draft, step: str, because: str) -> None:
    verdicts = [f"{g.name}={g.verdict}" for g in draft.status.gates or ()]
    begun = draft.window.window_start
    approvals.ask(draft, step, because + evidence_text(draft), begun, *verdicts)


def _keep_asking(draft: Draft) -> None:
    pending = draft.status.pending_approval
    if pending is None:
        return
    draft.await_(
        messages.awaiting(
            draft,
            f"waiting for an approval of {pending.step}: {pending.shown}; to approve: kubectl mmig approve"
            f" {draft.name} (approve {pending.step}.{pending.attempt}.{pending.id})",
            pending.since,
        )
    )
