"""Which pods run what: drained of the old settings, and acknowledged by the processes themselves.

A pod's specification says what it was started with, terminating or not; only its own answer says what it
does. Both are needed, and neither is taken from Prometheus, which remembers the dead.
"""

from __future__ import annotations

from dualtrack.api.commands import Verb
from dualtrack.api.status_target import EngineSettings, PodCounts
from dualtrack.rollout import kube, modes
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.world import Acknowledgement, JsonObject


def undrained(draft: Draft, desired: EngineSettings) -> str:
    """Why the target is not drained yet; empty when it is. Records what was counted."""
    pods = draft.seen.pods
    if pods is None:
        return "its pods could not be listed"
    alive = [p for p in pods if not kube.ended(p)]
    old = [p for p in alive if not _current(draft, p, desired) and not _forced(draft, p)]
    current = [p for p in kube.serving(pods) if _current(draft, p, desired)]
    _count(draft, current=len(current), terminating=sum(kube.terminating(p) for p in alive))
    if old:
        pod = old[0]
        state = "terminating" if kube.terminating(pod) else "running"
        return (
            f"pod {kube.name(pod)} is {state} with the old settings (if its node is lost: kubectl mmig force"
            f" {draft.name} {kube.name(pod)} REASON)"
        )
    return "" if current else "no pod with the new settings yet"


def unacknowledged(draft: Draft, desired: EngineSettings) -> str:
    """Why not every current pod has acknowledged; empty when all have."""
    current = [p for p in kube.serving(draft.seen.pods) if _current(draft, p, desired)]
    problems = [(kube.name(p), _answer(draft, p, desired)) for p in current]
    open_ = [f"pod {name}: {why}" for name, why in problems if why]
    _count(draft, acknowledged=len(current) - len(open_))
    if not current:
        return "no pod with the new settings yet"
    return open_[0] if open_ else ""


def journals_empty(draft: Draft) -> str:
    """Why a journal is not known to be empty on every pod; empty when all are, and no epoch is broken."""
    pods = kube.serving(draft.seen.pods)
    if not pods:
        return "no pod serves"
    for pod in pods:
        answers = _answers(draft, pod)
        if not answers or any(a.body is None for a in answers):
            return f"pod {kube.name(pod)} does not answer"
        for answer in answers:
            for drive in kube.items(answer.body, "drives"):
                if kube.dig(drive, "epochBroken"):
                    return (
                        f"pod {kube.name(pod)}: the journal of {kube.dig(drive, 'path')} broke in this epoch"
                    )
                depth = kube.dig(drive, "journalDepth")
                if depth != 0:
                    return f"pod {kube.name(pod)}: {depth} keys are still in the journal"
    return ""


def _current(draft: Draft, pod: JsonObject, desired: EngineSettings) -> bool:
    return modes.in_force(kube.dig(pod, "spec"), draft.spec.target.container_name, desired)


def _forced(draft: Draft, pod: JsonObject) -> bool:
    """A person has vouched that this terminating pod's process is gone. A Deployment never reuses a name."""
    done = draft.handled(f"{Verb.FORCE}.{draft.attempt}.{kube.name(pod)}")
    return done is not None and done.outcome == "Done" and kube.terminating(pod)


def _answers(draft: Draft, pod: JsonObject) -> list[Acknowledgement]:
    return [a for a in draft.seen.acknowledgements if a.pod == kube.name(pod)]


def _answer(draft: Draft, pod: JsonObject, desired: EngineSettings) -> str:
    answers = _answers(draft, pod)
    if not answers:
        return "has not been asked yet"
    for answer in answers:
        if answer.body is None:
            return f"does not acknowledge at {answer.address}: {answer.error or 'no answer'}"
        why = _mismatch(draft, answer.body, desired)
        if why:
            return f"answers {why}"
    boots = {str(kube.dig(a.body, "bootID")) for a in answers}
    return f"answers with {len(boots)} boot ids, so more than one process serves" if len(boots) > 1 else ""


def _mismatch(draft: Draft, body: JsonObject, desired: EngineSettings) -> str:
    wanted = {
        "migrationUID": draft.uid,
        "engine": desired.engine,
        "fallback": desired.fallback,
        "epoch": str(desired.epoch),
    }
    for name, value in wanted.items():
        found = kube.dig(body, name)
        if (str(found).lower() if name == "fallback" else str(found)) != value:
            return f"{name} {found!r} in place of {value!r}"
    if not modes.same_ratio(kube.dig(body, "ratio"), desired.ratio_percent or 0):
        return (
            f"ratio {kube.dig(body, 'ratio')!r} in place of {modes.ratio_text(desired.ratio_percent or 0)!r}"
        )
    if not kube.dig(body, "bootID"):
        return "without a boot id"
    if modes.mode_of(desired) == modes.FILES_ONLY:
        return ""  # The way back to the files must not depend on a store that may be what failed.
    if kube.dig(body, "degraded") is not False or kube.dig(body, "ready") is not True:
        return "that it is degraded or not ready: its store cannot be used"
    return _drive_fault(draft, body)


def _drive_fault(draft: Draft, body: JsonObject) -> str:
    for drive in kube.items(body, "drives"):
        if kube.dig(drive, "epochBroken"):
            return f"that the journal of {kube.dig(drive, 'path')} broke in this epoch"
    known = {d.store_uuid for d in draft.status.drives or () if d.store_uuid}
    found = {kube.dig(d, "storeUUID") for d in kube.items(body, "drives")}
    if known and found and not found <= known:
        return f"store {', '.join(map(str, found - known))} in place of {', '.join(map(str, known))}"
    return ""


def _count(draft: Draft, **counts: int) -> None:
    pods = draft.target.pods or PodCounts()
    draft.set_target(pods=pods.model_copy(update=counts))
