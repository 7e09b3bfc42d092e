"""What happens when something has failed: pause and say why, or go back where the phase asks for it.

The failure is latched. A pause is left only by a person who names it; a rollback only by a higher attempt.
"""

from __future__ import annotations

from dualtrack.api.conditions import Reason
from dualtrack.api.gates import Gate, Severity
from dualtrack.api.phases import FixedPhase, OnFailure
from dualtrack.api.status_evidence import GateStatus
from dualtrack.rollout import rollback
from dualtrack.rollout.draft import Draft


def gate_failed(draft: Draft, gate: Gate, status: GateStatus) -> None:
    """Act on a gate that failed. The same failure is acted on once."""
    critical = gate.severity is Severity.CRITICAL
    cause = Reason.CRITICAL_GATE_FAILED if critical else Reason.GATE_FAILED
    pause = draft.status.pause
    if pause is not None and (pause.cause == cause or not critical):
        return
    message = f"gate {gate.name}: {_measured(status)} against max {gate.max}"
    failed(draft, cause, message)


def failed(draft: Draft, cause: Reason, message: str) -> None:
    """Roll back where the phase asks for it, otherwise pause."""
    if draft.phase == FixedPhase.ROLLING_BACK:
        return
    if draft.on_failure() is OnFailure.ROLLBACK:
        rollback.begin(draft, cause, message)
    else:
        draft.pause(cause, message + "; find the cause, then resume or roll back")


def _measured(status: GateStatus) -> str:
    if status.message and not status.bad:
        return status.message
    of = f" of {status.samples}" if status.samples else ""
    return f"{status.bad or 0} bad{of}"
