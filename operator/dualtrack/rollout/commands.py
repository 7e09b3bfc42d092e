"""Carrying out what people command: pause, resume, rollback, abort, force. Each once.

A command names its attempt and, where it answers something, the id of that. One that fits nothing that is
pending is refused with one event and remembered, so that it can never come true later by accident.
"""

from __future__ import annotations

from typing import assert_never

from dualtrack.api import commands
from dualtrack.api.commands import Command, Malformed, Verb
from dualtrack.api.conditions import Reason
from dualtrack.api.phases import FixedPhase
from dualtrack.rollout import jobs, kube, rollback, travel
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import Rest, Station, Step


def handle(draft: Draft) -> None:
    """Carry out the command in the annotations, if it is new."""
    command = commands.command(draft.resource.metadata.annotations)
    if command is None:
        return
    text = f"{command.annotation}={command.value}" if isinstance(command, Malformed) else command.text
    if draft.handled(text) is not None:
        return
    if isinstance(command, Malformed):
        refusal, outcome, reason = command.message, "Malformed", ""
    elif command.attempt != draft.attempt:
        refusal, outcome, reason = f"{text} is ignored: this is attempt {draft.attempt}", "Refused", ""
    else:
        why = _carry_out(draft, command)
        refusal, outcome, reason = (f"{text} is ignored: {why}" if why else ""), "Refused", command.reason
    draft.handle(text, outcome if refusal else "Done", message=refusal or reason)
    if refusal:
        draft.event(Reason.COMMAND_IGNORED, refusal, "Warning")
    else:
        draft.event(Reason.COMMAND_HANDLED, text + (f": {reason}" if reason else ""))


def _carry_out(draft: Draft, command: Command) -> str:
    """Why it cannot be carried out; empty when it was."""
    match command.verb:
        case Verb.PAUSE:
            return _pause(draft, command)
        case Verb.RESUME:
            return _resume(draft, command)
        case Verb.ROLLBACK:
            why = rollback.possible(draft)
            if not why:
                rollback.begin(draft, Reason.COMMANDED, command.reason or "commanded", actor="Unverified")
            return why
        case Verb.ABORT:
            return _abort(draft)
        case Verb.FORCE:
            return _force(draft, command)
        case _:
            assert_never(command.verb)


def _pause(draft: Draft, command: Command) -> str:
    if travel.finished(draft.phase) or draft.phase == FixedPhase.ROLLING_BACK:
        return f"{draft.phase} cannot be paused"
    if draft.status.pause is not None:
        return f"it is paused already, with id {draft.status.pause.id}"
    draft.pause(Reason.COMMANDED, command.reason or "commanded", ident=command.id, actor="Unverified")
    return ""


def _resume(draft: Draft, command: Command) -> str:
    pause = draft.status.pause
    if pause is None:
        return "it is not paused"
    if pause.id != command.id:
        return f"the pause to resume has id {pause.id}"
    draft.set(pause=None)
    draft.set_target(reapply_count=0) if draft.status.target else None
    if pause.cause == Reason.PHASE_DEADLINE:
        draft.set(phase_start_time=draft.now, paused_seconds=0)
    travel.restart_window(draft)
    draft.record("Paused", draft.phase, Reason.RESUMED, actor="Unverified", message=command.reason)
    draft.event(Reason.RESUMED, f"{draft.phase}/{draft.step} goes on; its window begins anew")
    draft.delay = 0.0
    return ""


def _abort(draft: Draft) -> str:
    if draft.phase not in (FixedPhase.PENDING, FixedPhase.VALIDATING):
        return "traffic has been moved; command a rollback in its place"
    draft.set(pause=None)
    jobs.quiesce(draft)
    travel.enter(draft, Station(FixedPhase.FAILED, Step.DONE, Rest()), Reason.ABORTED, actor="Unverified")
    return ""


def _force(draft: Draft, command: Command) -> str:
    if draft.status.switch is None:
        return "no switch is under way"
    pod = next((p for p in draft.seen.pods or () if kube.name(p) == command.id), None)
    if pod is None or not kube.terminating(pod):
        return f"pod {command.id} is not one that is terminating; only such a pod can be vouched for"
    return ""
