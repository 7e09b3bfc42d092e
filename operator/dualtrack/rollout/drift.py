"""Somebody else changes the target: our variables, the rest of its template, or the whole object.

Our variables are applied again at once: three times, then the migration pauses rather than fight. Once the
file system may lack writes they decide whether data is visible, so there is no limit then, only patience.
A pod that ran in a weaker mode has left rows that nobody kept up, so applying again raises the epoch where
the marker let it run.
"""

from __future__ import annotations

from typing import Any, Final

from dualtrack.api.conditions import ConditionType, Reason
from dualtrack.api.names import TARGET_ENV
from dualtrack.api.phases import FixedPhase
from dualtrack.api.status_target import EngineSettings, SwitchStage
from dualtrack.rollout import jobs, kube, messages, modes, plan, switching, travel
from dualtrack.rollout.draft import Draft, digest_json
from dualtrack.rollout.plan import Step

LIMIT: Final = 3
_FIRST_BACK_OFF_SECONDS: Final = 10
_LONGEST_BACK_OFF_SECONDS: Final = 300


def guard(draft: Draft) -> bool:
    """Whether the target is what it was left as; otherwise nothing else is done in this pass."""
    target = draft.seen.target
    if target is None:
        name = f"{draft.spec.target.kind} {draft.namespace}/{draft.spec.target.name}"
        why = draft.unread("target")
        if not why:
            why = f"{name} does not exist any more; create it again, or delete this migration"
            draft.stalled = (Reason.TARGET_NOT_FOUND, why)
        draft.await_(messages.awaiting(draft, why))
        return False
    if kube.uid(target) != draft.target.uid:
        why = f"the target was deleted and made anew (UID {kube.uid(target)}); it is another one now"
        draft.stalled = (Reason.TARGET_CHANGED, why)
        draft.await_(messages.awaiting(draft, why + "; delete this migration and create another one"))
        return False
    desired = draft.target.desired
    if desired is None or draft.phase in (FixedPhase.ROLLED_BACK, FixedPhase.FAILED):
        return True
    return _variables(draft, desired) and _template(draft)


def template_digest(draft: Draft) -> str:
    """Of the pod template without our variables."""
    template: Any = kube.dig(draft.seen.target, "spec", "template") or {}
    spec = dict(kube.dig(template, "spec") or {})
    containers = []
    for container in kube.items(spec, "containers"):
        kept = dict(container)
        if kept.get("name") == draft.spec.target.container_name:
            env = [e for e in kube.items(kept, "env") if kube.dig(e, "name") not in TARGET_ENV]
            kept["env"] = env
        containers.append({k: v for k, v in kept.items() if v not in ([], None)})
    spec["containers"] = containers
    return digest_json({**template, "spec": spec})


def reapplied(draft: Draft) -> None:
    """After the variables are back everywhere: what was observed, and perhaps swept, no longer holds."""
    draft.condition(ConditionType.TARGET_DRIFTED, False, Reason.AS_WANTED)
    station = draft.station()
    if station is None or draft.phase in (FixedPhase.ROLLING_BACK, FixedPhase.COMPLETE):
        return
    if draft.traffic_phase() is not None:
        jobs.renew(draft, Step.SWEEP, Step.FULL_VERIFY)
    warm_up = plan.find(draft.stations(), draft.phase, Step.WARM_UP)
    observed = (Step.WARM_UP, Step.SWEEP, Step.FULL_VERIFY, Step.OBSERVING)
    if warm_up is not None and station.step in observed:
        travel.enter(draft, warm_up, Reason.TARGET_REAPPLIED)


def _variables(draft: Draft, desired: EngineSettings) -> bool:
    switch = draft.status.switch
    if switch is not None and switch.stage == SwitchStage.APPLY:
        return True
    spec = kube.dig(draft.seen.target, "spec", "template", "spec")
    wanted = modes.environment(desired)
    found = kube.env(spec, draft.spec.target.container_name, wanted)
    if found != wanted and switch is None and draft.step == Step.CUT_OVER and desired.engine != modes.KV_ONLY:
        # The marker is past what was applied last: no server would start with it. This step writes them all,
        # but not while something holds it, and then nobody may be left to think that only that is the matter.
        what = f"{_changed(found, wanted)}; the cut-over writes them all, once it goes on"
        draft.condition(ConditionType.TARGET_DRIFTED, True, Reason.DRIFTED, what)
        return True
    if found == wanted:
        if switch is None:
            _clear(draft)
        return True
    pause = draft.status.pause
    if pause is not None and pause.cause == Reason.DRIFTED:
        draft.await_(messages.awaiting(draft, messages.held(draft)))
        return False
    _reapply(draft, desired, found)
    return False


def _clear(draft: Draft) -> None:
    drifted = draft.find_condition(ConditionType.TARGET_DRIFTED)
    if drifted is not None and drifted.status == "True":
        draft.condition(ConditionType.TARGET_DRIFTED, False, Reason.AS_WANTED)


def _changed(found: dict[str, str], wanted: dict[str, str]) -> str:
    shown = ", ".join(f"{k}={found.get(k, '(absent)')}" for k, v in wanted.items() if found.get(k) != v)
    return f"another manager changed the target's variables: {shown}"


def _reapply(draft: Draft, desired: EngineSettings, found: dict[str, str]) -> None:
    count = draft.target.reapply_count or 0
    wanted = modes.environment(desired)
    what = _changed(found, wanted)
    unlimited = draft.past_cut_over or draft.phase == FixedPhase.ROLLING_BACK
    draft.condition(
        ConditionType.TARGET_DRIFTED, True, Reason.TARGET_REAPPLIED if count < LIMIT else Reason.DRIFTED, what
    )
    # The marker may be past the file system's mode already, so the old variables must not come back.
    between = (
        draft.phase == FixedPhase.COMPLETING and desired.engine == modes.FS and draft.status.switch is None
    )
    if not unlimited and (count >= LIMIT or between):
        again = "before the read switch: roll back" if between else f"again after {LIMIT} times"
        draft.set(switch=None)
        draft.pause(
            Reason.DRIFTED,
            f"{what} ({again}); stop that manager (Argo CD: ignoreDifferences; Helm: extraEnv), then resume",
        )
        return
    switch = draft.status.switch
    if unlimited and switch is not None and draft.age(switch.start_time) < _back_off(count):
        draft.await_(messages.awaiting(draft, f"{what}; applying them again soon"), delay=5.0)
        return
    _apply_again(draft, desired, found)
    draft.set_target(reapply_count=count + 1)
    draft.event(Reason.TARGET_REAPPLIED, f"{what}; applied again ({count + 1})", "Warning")


def _apply_again(draft: Draft, desired: EngineSettings, found: dict[str, str]) -> None:
    mode = modes.mode_of(desired)
    seen, epoch = modes.found_mode(found)
    weaker = seen.strength < mode.strength or epoch != desired.epoch
    stale = mode.engine == modes.FS and mode.ratio_percent > 0 and weaker
    switch = draft.status.switch
    if switch is None:
        switching.begin(draft, mode, switching.REAPPLY, raise_epoch=stale)
        return
    raised = (draft.status.epoch or 1) + (1 if stale else 0)
    begun = draft.now if draft.past_cut_over else switch.start_time
    draft.set(
        epoch=raised,
        switch=switch.model_copy(update={"stage": SwitchStage.APPLY.value, "start_time": begun}),
    )
    draft.set_target(desired=mode.settings(raised, desired.variables or ()))
    draft.await_(messages.awaiting(draft, "applying the variables again"), delay=0.0)


def _back_off(count: int) -> int:
    return min(_LONGEST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS << min(count, 10))


def _template(draft: Draft) -> bool:
    digest = template_digest(draft)
    before = draft.target.pod_template_digest
    if digest == before:
        return True
    draft.set_target(pod_template_digest=digest)
    if before is None or draft.phase in (FixedPhase.VALIDATING, FixedPhase.PENDING):
        return True
    draft.event(Reason.TARGET_CHANGED, "the target's pod template was changed by somebody else", "Warning")
    if draft.phase == FixedPhase.COMPLETING:
        draft.pause(
            Reason.TARGET_CHANGED,
            "the target's pod template was changed by somebody else after the read switch; make sure that its"
            " pods are well, then resume",
        )
        return False
    warm_up = plan.find(draft.stations(), draft.phase, Step.WARM_UP)
    if draft.step in (Step.WARM_UP, Step.OBSERVING) and warm_up is not None and draft.status.switch is None:
        travel.enter(draft, warm_up, Reason.TARGET_CHANGED)
        return False
    travel.restart_window(draft)
    return True
