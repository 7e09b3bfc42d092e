"""Switch: every change of the target's environment, forward and back.

Apply → RollOut → Drain → Acknowledge. The intent is recorded before it is acted upon, so that a change that
never succeeds still has a start to count its deadline from. Drain ends when no pod, terminating ones
included, is without the wanted settings; Acknowledge asks each pod itself. A change past its deadline is
taken back, and if that is not acknowledged either, only a person can help.
"""

from __future__ import annotations

from dualtrack.api.conditions import Reason
from dualtrack.api.status_target import EngineSettings, SwitchStage, SwitchStatus
from dualtrack.rollout import drain, intent, jobs, kube, messages, modes, tuning
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.modes import Mode
from dualtrack.rollout.plan import Step

REVERT = "Revert"
REAPPLY = "Reapply"
_REVERT_MARK = "RevertToDualWrite"


def run(draft: Draft, mode: Mode) -> bool:
    """Bring the target to `mode`; True once every pod has acknowledged it."""
    if draft.status.switch is None:
        if _settled(draft, mode):
            return True
        begin(draft, mode, draft.step)
        return False
    return go_on(draft)


def begin(draft: Draft, mode: Mode, purpose: str, *, raise_epoch: bool = False) -> None:
    """Record what is wanted. The first action follows in the next pass.

    Whoever goes back to, or stays at, what was wanted before wants it with the variables it had then.
    """
    before = draft.target.desired
    epoch = draft.status.epoch or 1
    if raise_epoch or (before is not None and mode.strength < modes.mode_of(before).strength):
        epoch += 1
    count = draft.target.reapply_count if purpose == REAPPLY else 0
    kept = _kept(draft, purpose)
    variables = kept.variables or () if kept is not None else tuning.beside(draft, mode)
    draft.set(
        epoch=epoch,
        switch=SwitchStatus(
            stage=SwitchStage.APPLY.value, start_time=draft.now, purpose=purpose, previous=before
        ),
    )
    draft.set_target(desired=mode.settings(epoch, variables), pods=None, reapply_count=count)
    told = f"{mode}, epoch {epoch}{tuning.changed(before, variables)}"
    draft.event(Reason.SWITCHING, f"{purpose}: switching the target to {told}")
    draft.await_(messages.awaiting(draft, f"switching the target to {mode}"), delay=0.0)


def _kept(draft: Draft, purpose: str) -> EngineSettings | None:
    switch = draft.status.switch
    if purpose == REVERT and switch is not None:
        return switch.previous
    return draft.target.desired if purpose == REAPPLY else None


def go_on(draft: Draft) -> bool:
    """Carry a recorded change forward by what was seen; True when it is acknowledged."""
    switch, desired = draft.status.switch, draft.target.desired
    if switch is None or desired is None:
        return True
    if _overdue(draft, switch):
        return False
    if switch.stage == SwitchStage.APPLY:
        _apply(draft, desired, switch)
        return False
    waiting = _rolling_out(draft, desired)
    stage = SwitchStage.ROLL_OUT
    if not waiting:
        stage, waiting = SwitchStage.DRAIN, drain.undrained(draft, desired)
    if not waiting:
        stage, waiting = SwitchStage.ACKNOWLEDGE, drain.unacknowledged(draft, desired)
    if waiting:
        draft.set(switch=switch.model_copy(update={"stage": stage.value}))
        since = messages.clock(switch.start_time) if switch.start_time else "?"
        until = f"taken back after {messages.duration(draft.spec.target.change_deadline_seconds)}"
        draft.await_(
            messages.awaiting(draft, f"{switch.purpose}: {stage}: {waiting}; begun {since}, {until}"),
            delay=3.0,
        )
        return False
    return _finish(draft, switch, desired)


def _settled(draft: Draft, mode: Mode) -> bool:
    """Whether the last finished switch already led here (a crash, or a way that needs no change)."""
    desired = draft.target.desired
    return (
        desired is not None
        and modes.mode_of(desired) == mode
        and desired.epoch == draft.status.epoch
        and draft.target.pods is not None
        and not drain.undrained(draft, desired)
        and not drain.unacknowledged(draft, desired)
    )


def _apply(draft: Draft, desired: EngineSettings, switch: SwitchStatus) -> None:
    if draft.seen.jobs is None:
        draft.await_(messages.awaiting(draft, "the API server did not list the Jobs, which may be at work"))
        return
    busy = jobs.quiesce(draft)
    if busy:
        draft.await_(messages.awaiting(draft, f"waiting for Job {busy} to stop before the switch"), delay=3.0)
        return
    if switch.purpose == REVERT and not _marked_back(draft, desired):
        return
    owned = switch.previous is not None or bool(draft.target.reapply_count) or _going_back(draft)
    draft.act(intent.apply_target(draft, desired, owned=owned))
    draft.set(switch=switch.model_copy(update={"stage": SwitchStage.ROLL_OUT.value}))
    draft.await_(messages.awaiting(draft, f"applied {modes.mode_of(desired)}; rolling out"), delay=2.0)


def _marked_back(draft: Draft, desired: EngineSettings) -> bool:
    """Taking back the read switch needs the marker that allows the file system's mode again."""
    if desired.engine != modes.FS or draft.traffic_phase() is not None:
        return True
    return jobs.run(draft, _REVERT_MARK, ("mark", "--state", "DualWrite")) is not None


def _rolling_out(draft: Draft, desired: EngineSettings) -> str:
    target = draft.seen.target
    if target is None:
        return "the target could not be read"
    spec = kube.dig(target, "spec", "template", "spec")
    if not modes.in_force(spec, draft.spec.target.container_name, desired):
        return "the target does not have the variables yet"
    generation = kube.dig(target, "metadata", "generation") or 0
    if (kube.dig(target, "status", "observedGeneration") or 0) < generation:
        return "its controller has not seen the change yet"
    wanted = kube.dig(target, "spec", "replicas")
    wanted = 1 if wanted is None else wanted
    if (kube.dig(target, "status", "updatedReplicas") or 0) < wanted:
        return "its pods are being replaced"
    return ""


def _finish(draft: Draft, switch: SwitchStatus, desired: EngineSettings) -> bool:
    draft.set(switch=None)
    draft.event(Reason.SWITCHED, f"{switch.purpose}: every pod acknowledged {modes.mode_of(desired)}")
    if switch.purpose != REVERT:
        return True
    draft.pause(
        Reason.SWITCH_DEADLINE,
        f"the switch was not acknowledged within {draft.spec.target.change_deadline_seconds} s"
        f" (spec.target.changeDeadlineSeconds) and was taken back to {modes.mode_of(desired)}; look at the"
        " target's pods, then resume",
    )
    if draft.step == Step.READ_SWITCH:
        # The marker was moved back with the environment: it has to go forward again first.
        jobs.renew(draft, Step.MARK_KV_PRIMARY)
        draft.set(step=Step.MARK_KV_PRIMARY.value)
    return False


def _overdue(draft: Draft, switch: SwitchStatus) -> bool:
    deadline = draft.spec.target.change_deadline_seconds
    if draft.age(switch.start_time) <= deadline:
        return False
    if switch.purpose in (REVERT, REAPPLY) or switch.previous is None or _going_back(draft):
        what = f"{switch.purpose} was not acknowledged within {deadline} s: {_reason(draft)}"
        draft.stalled = (Reason.SWITCH_FAILED, what)
        draft.await_(messages.awaiting(draft, what + "; look at its pods; it goes on when they are well"))
        return False  # Nothing better is known than to keep asking for the same.
    before = modes.mode_of(switch.previous)
    if modes.mode_of(draft.target.desired) == modes.CUT_OVER:
        before = modes.WITHOUT_FALLBACK  # The marker allows no more: the file system may lack writes already.
    draft.event(Reason.SWITCH_DEADLINE, f"not acknowledged within {deadline} s; back to {before}", "Warning")
    jobs.renew(draft, _REVERT_MARK)  # the marker may have gone forward again since the last time
    begin(draft, before, REVERT)
    return True


def _going_back(draft: Draft) -> bool:
    return draft.status.rollback is not None


def _reason(draft: Draft) -> str:
    desired = draft.target.desired
    if desired is None:
        return "nothing is wanted"
    return (
        _rolling_out(draft, desired)
        or drain.undrained(draft, desired)
        or drain.unacknowledged(draft, desired)
    )
