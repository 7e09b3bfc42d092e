"""Which PromQL the next decision wants: a function of the resource and the time, nothing else.

`decide` reads the answers by the same ids, which carry the time of the evaluation: an answer to an earlier
question is never taken for one to this. While no interval is due, Critical gates are still asked for what
is new, because one bad event is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dualtrack.api import load
from dualtrack.api.gates import Gate, Preset, Severity
from dualtrack.api.phases import FixedPhase
from dualtrack.api.resource import MetadataMigration
from dualtrack.api.spec import Mode
from dualtrack.api.status import MigrationStatus
from dualtrack.errors import InvalidResourceError
from dualtrack.rollout import evidence, plan, presets, window
from dualtrack.rollout.draft import route
from dualtrack.rollout.plan import Step
from dualtrack.rollout.world import Query

_LOOK_BACK_SECONDS = 300
"""How far before an interval its base sample may lie."""
_LONGEST_PROBE_SECONDS = 21_600


@dataclass(frozen=True, slots=True)
class Agenda:
    """One evaluation: of the interval (start, at]. `counting`: inside a window; `whole`: judge all of it."""

    at: datetime
    start: datetime
    gates: tuple[Gate, ...]
    counting: bool
    whole: bool = False


def queries(migration: Mapping[str, Any], now: datetime) -> tuple[Query, ...]:
    """Everything that the next `decide` needs of Prometheus. Not acceptable: nothing."""
    try:
        resource = load.parse(migration)
    except InvalidResourceError:
        return ()
    moment = now.astimezone(UTC).replace(microsecond=0)
    if resource.status.step == Step.PREFLIGHT or resource.spec.mode is Mode.DRY_RUN:
        return _preflight(resource, moment)
    agenda = due(resource, moment)
    if agenda is not None:
        return tuple(_evaluation(resource, agenda))
    return tuple(_probes(resource, moment))


def watched(status: MigrationStatus) -> bool:
    """Whether the target is on the new track and gates have something to say."""
    desired = status.target.desired if status.target else None
    quiet = (FixedPhase.ROLLING_BACK, FixedPhase.ROLLED_BACK, FixedPhase.FAILED, FixedPhase.COMPLETE)
    return (
        desired is not None
        and bool(desired.ratio_percent)
        and status.phase not in quiet
        and status.observation is not None
    )


def due(resource: MetadataMigration, now: datetime) -> Agenda | None:
    """The evaluation that is due at `now`, or None."""
    status, spec = resource.status, resource.spec
    interval = spec.evaluation.interval_seconds
    if not watched(status) or status.observation is None:
        return None
    at = window.due(status.observation, now, interval)
    if at is None:
        return None
    station = plan.find(route(spec, status), status.phase or "", status.step or "")
    held = status.pause is not None or spec.suspend or status.switch is not None
    counting = station is not None and station.window > 0 and not held
    if counting:
        start = at - timedelta(seconds=interval)
        return Agenda(at, start, spec.gates, True, _whole_due(resource, interval))
    last = status.observation.last_evaluation_time or at - timedelta(seconds=interval)
    start = max(last, at - timedelta(seconds=_LONGEST_PROBE_SECONDS))
    return Agenda(at, start, _critical(spec.gates), False)


def identify(gate: Gate, part: str, at: datetime, *, whole: bool = False) -> str:
    return f"{'window' if whole else 'gate'}/{gate.name}/{part}@{int(at.timestamp())}"


def info_id(at: datetime) -> str:
    return f"info@{int(at.timestamp())}"


def probe_id(gate: Gate) -> str:
    return f"probe/{gate.name}"


def preflight_id(gate: Gate, part: str) -> str:
    return f"preflight/{gate.name}/{part}"


PREFLIGHT_INFO = "preflight/info"


def needed(resource: MetadataMigration, agenda: Agenda) -> frozenset[str]:
    """The ids without which this evaluation cannot be made."""
    return frozenset(q.id for q in _evaluation(resource, agenda))


def _whole_due(resource: MetadataMigration, interval: int) -> bool:
    """The window may be complete with this interval, and the sample has grown enough to judge it (again)."""
    seen = resource.status.observation
    station = resource.status.step
    if seen is None or station not in (Step.OBSERVING, Step.SOAK):
        return False
    if resource.status.pending_approval is not None:
        return False
    if (seen.observed_seconds or 0) + interval < (seen.required_seconds or 0):
        return False
    judged = [g for g in resource.status.gates or () if g.judged_samples]
    if not judged:
        return True
    return any(
        g.verdict not in ("Pass", "Insufficient")
        or evidence.judgement_due(g.samples or 0, g.judged_samples or 0)
        for g in resource.status.gates or ()
    )


def _evaluation(resource: MetadataMigration, agenda: Agenda) -> list[Query]:
    spec, namespace = resource.spec, resource.metadata.namespace
    at = agenda.at.timestamp()
    asked: list[Query] = []
    back = spec.evaluation.failure_window_seconds if agenda.counting else 0
    length = max(back, int((agenda.at - agenda.start).total_seconds())) + _LOOK_BACK_SECONDS
    seen = resource.status.observation
    begun = (seen.window_start if seen else None) or agenda.start
    since = int((agenda.at - begun).total_seconds()) + _LOOK_BACK_SECONDS
    for gate in agenda.gates:
        for part, selector in presets.measure(gate, namespace, spec.target.name).parts.items():
            asked.append(Query(identify(gate, part, agenda.at), f"{selector}[{length}s]", at))
            if agenda.whole:
                asked.append(Query(identify(gate, part, agenda.at, whole=True), f"{selector}[{since}s]", at))
    if agenda.counting:
        span = spec.evaluation.interval_seconds + 3 * spec.prometheus.scrape_interval_seconds
        asked.append(Query(info_id(agenda.at), f"{presets.info(namespace, spec.target.name)}[{span}s]", at))
    return asked


def _probes(resource: MetadataMigration, now: datetime) -> list[Query]:
    seen = resource.status.observation
    if not watched(resource.status) or seen is None or seen.last_evaluation_time is None:
        return []
    span = min(max(0, int((now - seen.last_evaluation_time).total_seconds())), _LONGEST_PROBE_SECONDS)
    asked = []
    for gate in _critical(resource.spec.gates):
        parts = presets.measure(gate, resource.metadata.namespace, resource.spec.target.name).parts
        if "bad" in parts:
            text = f"{parts['bad']}[{span + _LOOK_BACK_SECONDS}s]"
            asked.append(Query(probe_id(gate), text, now.timestamp()))
    return asked


def _preflight(resource: MetadataMigration, now: datetime) -> tuple[Query, ...]:
    spec, namespace = resource.spec, resource.metadata.namespace
    span = f"[{max(300, 4 * spec.prometheus.scrape_interval_seconds)}s]"
    asked = [Query(PREFLIGHT_INFO, presets.info(namespace, spec.target.name) + span, now.timestamp())]
    for gate in spec.gates:
        parts = dict(presets.measure(gate, namespace, spec.target.name).parts)
        if gate.preset is Preset.LATENCY_FRACTION:
            parts["within"] = presets.buckets(gate, namespace, spec.target.name)
        asked += [Query(preflight_id(gate, p), s + span, now.timestamp()) for p, s in parts.items()]
    return tuple(asked)


def _critical(gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
    return tuple(g for g in gates if g.severity is Severity.CRITICAL)
