"""Going from one station to the next, and what is written down on the way.

Every transition passes here: history, events, start times, timings, and the window that a station opens.
"""

from __future__ import annotations

from dualtrack.api.conditions import Reason
from dualtrack.api.phases import FixedPhase
from dualtrack.api.status_evidence import GateStatus, PhaseTiming
from dualtrack.rollout import kube, plan, window
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import Station, WarmUp

_TIMINGS_LIMIT = 32


def advance(
    draft: Draft, station: Station, cause: Reason, *, actor: str = "operator", evidence: str | None = None
) -> None:
    """Leave this station for the next one of the way."""
    enter(draft, plan.after(draft.stations(), station), cause, actor=actor, evidence=evidence)


def enter(
    draft: Draft,
    station: Station,
    cause: Reason,
    *,
    actor: str = "operator",
    message: str = "",
    evidence: str | None = None,
) -> None:
    """Be at a station. A new phase closes the books of the last."""
    before = draft.phase
    window_before = _window_of(draft)
    if station.phase != before:
        _close(draft, before)
        draft.set(phase=station.phase, phase_start_time=draft.now, paused_seconds=0)
        draft.record(before, station.phase, cause, actor=actor, message=message, evidence=evidence)
        draft.event(cause, f"{before or 'new'} → {station.phase}{_proof(draft, station.phase)}")
        _reached(draft, station.phase)
    draft.set(step=station.step.value, step_start_time=draft.now, pending_approval=None)
    if isinstance(station.task, WarmUp) or (
        station.window and (station.phase != before or station.window != window_before)
    ):
        open_window(draft, station)
    draft.delay = 0.0


def open_window(draft: Draft, station: Station) -> None:
    """Observe from now on; what was counted before belongs to another window."""
    interval = draft.spec.evaluation.interval_seconds
    required = station.window or _next_window(draft, station)
    restarts = kube.restarts(kube.serving(draft.seen.pods), draft.spec.target.container_name)
    draft.set(
        observation=window.started(draft.now, required, interval),
        gates=tuple(
            GateStatus(
                name=g.name, bad=0, samples=0, bound=g.max, consecutive_failures=0, restarts_seen=restarts
            )
            for g in draft.spec.gates
        ),
        pending_approval=None,
    )


def restart_window(draft: Draft) -> None:
    """The window of this station begins anew; one that is not observed has none to restart."""
    station = draft.station()
    if station is None or draft.status.observation is None:
        return
    first = draft.window.start_time
    open_window(draft, station)
    if station.window:
        draft.set_window(start_time=first)


def _window_of(draft: Draft) -> int:
    station = draft.station()
    return station.window if station is not None else 0


def _next_window(draft: Draft, station: Station) -> int:
    return plan.after(draft.stations(), station).window


def _reached(draft: Draft, phase: str) -> None:
    percent = next((p.ratio_percent for p in draft.spec.phases if p.name == phase), None)
    if percent is not None:
        draft.set(reached_ratio_percent=percent)


def _close(draft: Draft, phase: str) -> None:
    if not phase or draft.status.phase_start_time is None:
        return
    seen = draft.status.observation
    entry = PhaseTiming(
        phase=phase,
        seconds=int(draft.age(draft.status.phase_start_time)),
        observed_seconds=seen.observed_seconds if seen is not None else None,
    )
    others = tuple(t for t in draft.status.timings or () if t.phase != phase)
    draft.set(timings=(*others, entry)[-_TIMINGS_LIMIT:])


def _proof(draft: Draft, phase: str) -> str:
    """What the event of the last transition says beside it: how to check what was reached."""
    report = draft.status.report
    if phase != FixedPhase.COMPLETE or report is None:
        return ""
    return f"; report {report.root}; check: {report.check}"


def finished(phase: str) -> bool:
    return phase in (FixedPhase.COMPLETE, FixedPhase.ROLLED_BACK, FixedPhase.FAILED)
