"""One evaluation: judge every gate that is due, count the interval, act on what has failed.

It comes first in every pass, before anything may go forward in the same pass. A Prometheus that does not
answer stops the clock and says so; it never acts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dualtrack.api.conditions import ConditionType, Reason
from dualtrack.api.gates import Gate, OnInsufficient, OnNoData, Preset, Severity
from dualtrack.api.status_evidence import GateStatus, Verdict
from dualtrack.rollout import failing, gates, kube, messages, presets, queries, samples, window
from dualtrack.rollout.draft import Draft, Judgement
from dualtrack.rollout.gates import Count, Measured
from dualtrack.rollout.queries import Agenda
from dualtrack.rollout.samples import Growth, Trouble, Unusable


def evaluate(draft: Draft) -> None:
    """Make the evaluation that is due, if its answers are there; otherwise look for new critical events."""
    agenda = queries.due(draft.resource, draft.now)
    if agenda is None:
        _probe(draft)
    elif queries.needed(draft.resource, agenda) <= draft.seen.results.keys():
        _judge(draft, agenda)
    else:
        draft.delay = 0.0  # The answers are to an earlier question: the clock passed a mark in between.


def status_of(draft: Draft, gate: Gate) -> GateStatus:
    found = next((s for s in draft.status.gates or () if s.name == gate.name), None)
    return found or GateStatus(name=gate.name, bad=0, samples=0)


def _judge(draft: Draft, agenda: Agenda) -> None:
    found = {g.name: _measure(draft, g, agenda) for g in agenda.gates}
    statuses = {g.name: status_of(draft, g) for g in draft.spec.gates}
    for gate in agenda.gates:
        statuses[gate.name] = gates.judge(gate, statuses[gate.name], found[gate.name], agenda.at)
    draft.set(gates=tuple(statuses[g.name] for g in draft.spec.gates))
    interval = draft.spec.evaluation.interval_seconds
    if agenda.counting:
        _count(draft, agenda, [(g, statuses[g.name]) for g in agenda.gates])
    else:
        draft.set(observation=window.passed_by(draft.window, agenda.at, interval))
    _availability(draft, agenda, [f for f in found.values() if isinstance(f, Unusable)])
    limit = draft.spec.evaluation.consecutive_failure_limit
    for gate in agenda.gates:
        if gates.acts(gate, statuses[gate.name], limit):
            failing.gate_failed(draft, gate, statuses[gate.name])
            return
    if agenda.whole and window.complete(draft.window, draft.spec.evaluation.minimum_coverage_percent):
        _judge_whole(draft, agenda)


def _count(draft: Draft, agenda: Agenda, pairs: list[tuple[Gate, GateStatus]]) -> None:
    evaluation = draft.spec.evaluation
    unseen = window.unseen(
        draft.seen.results.get(queries.info_id(agenda.at)),
        draft.seen.pods,
        draft.target.desired,
        agenda.start.timestamp(),
        agenda.at.timestamp(),
        draft.spec.prometheus.scrape_interval_seconds,
    )
    counts = not unseen and not any(gates.blocks(g, s) for g, s in pairs)
    verdict = gates.overall(pairs)
    if unseen and verdict in (Verdict.PASS, Verdict.INSUFFICIENT):
        verdict = Verdict.NO_DATA
    moved = window.advance(
        draft.window,
        agenda.at,
        evaluation.interval_seconds,
        evaluation.minimum_coverage_percent,
        counts=counts,
    )
    draft.set(observation=moved.model_copy(update={"verdict": verdict.value, "message": unseen or None}))


def _measure(draft: Draft, gate: Gate, agenda: Agenda) -> Measured | Unusable:
    if gate.preset is Preset.CONTAINER_RESTARTS:
        return _restarts(draft, gate)
    if gate.preset is Preset.READY_FRACTION:
        return _unready(draft)
    interval = _pooled(draft, gate, agenda, agenda.start)
    if isinstance(interval, Unusable):
        return interval
    earliest = draft.window.window_start or agenda.start
    back = agenda.at - timedelta(seconds=draft.spec.evaluation.failure_window_seconds)
    failure = _pooled(draft, gate, agenda, max(earliest, back)) if agenda.counting else interval
    return failure if isinstance(failure, Unusable) else Measured(interval, failure)


def _pooled(
    draft: Draft, gate: Gate, agenda: Agenda, start: datetime, *, whole: bool = False
) -> Count | Unusable:
    """Bad events and events of a Prometheus gate within (start, agenda.at]."""
    grown: dict[str, int] = {}
    name = draft.spec.target.container_name
    processes = {kube.name(p): t for p in draft.seen.pods or () if (t := kube.started(p, name)) is not None}
    measure = presets.measure(gate, draft.namespace, draft.spec.target.name)
    for part in measure.parts:
        result = draft.seen.results.get(queries.identify(gate, part, agenda.at, whole=whole))
        found = samples.growth(
            result,
            start.timestamp(),
            agenda.at.timestamp(),
            staleness=gate.max_staleness_seconds,
            processes=processes,
        )
        if isinstance(found, Unusable):
            return found
        grown[part] = found.total
    bad = grown["bad"] if "bad" in grown else max(0, grown["total"] - grown["within"])
    return Count(bad, grown["total"])


def _restarts(draft: Draft, gate: Gate) -> Measured | Unusable:
    pods = kube.serving(draft.seen.pods)
    if not pods:
        return Unusable(Trouble.EMPTY, "the target's pods could not be listed, or none serves")
    total = kube.restarts(pods, draft.spec.target.container_name)
    before = status_of(draft, gate).restarts_seen
    # A window begins with fresh pods, or with what had been restarted before it began.
    added = max(0, total - before) if before is not None else 0
    count = Count(added, len(pods))
    return Measured(count, count, restarts=total)


def _unready(draft: Draft) -> Measured | Unusable:
    pods = kube.serving(draft.seen.pods)
    if draft.seen.pods is None:
        return Unusable(Trouble.EMPTY, "the target's pods could not be listed")
    interval = draft.spec.evaluation.interval_seconds
    bad = sum(interval for p in pods if not kube.ready(p))
    count = Count(bad if pods else interval, interval * max(1, len(pods)))
    return Measured(count, count)


def _availability(draft: Draft, agenda: Agenda, troubles: list[Unusable]) -> None:
    if not agenda.gates:
        return
    kind = ConditionType.METRICS_AVAILABLE
    away = next((t for t in troubles if t.trouble is Trouble.UNREACHABLE), None)
    if away is not None:
        draft.condition(
            kind,
            False,
            Reason.PROMETHEUS_UNREACHABLE,
            f"{draft.spec.prometheus.address}: {away.message}; the clock stands until it answers,"
            " nothing rolls back",
        )
        _alert(draft, agenda)
    elif troubles:
        draft.condition(kind, False, Reason.NO_DATA, troubles[0].message)
    else:
        draft.condition(kind, True, Reason.METRICS_COMPLETE)


def _alert(draft: Draft, agenda: Agenda) -> None:
    """One event, in the evaluation that first finds the outage older than it may be."""
    condition = draft.find_condition(ConditionType.METRICS_AVAILABLE)
    if condition is None:
        return
    limit = draft.spec.prometheus.outage_alert_after_seconds
    lasted = draft.age(condition.last_transition_time)
    step = (agenda.at - agenda.start).total_seconds()
    if limit <= lasted < limit + step:
        draft.event(
            Reason.PROMETHEUS_UNREACHABLE,
            f"Prometheus has not answered for {messages.duration(limit)}; {draft.phase} waits",
            "Warning",
        )


def _judge_whole(draft: Draft, agenda: Agenda) -> None:
    """The last judgement: everything since the window began, gaps included, counted once more."""
    begun = draft.window.window_start or agenda.start
    verdicts: dict[str, GateStatus] = {}
    for gate in draft.spec.gates:
        status = status_of(draft, gate)
        if presets.measure(gate, draft.namespace, draft.spec.target.name).needs_prometheus:
            status = _whole_gate(draft, gate, agenda, begun, status)
        verdicts[gate.name] = status
    draft.set(gates=tuple(verdicts[g.name] for g in draft.spec.gates))
    for gate in draft.spec.gates:
        if gate.severity is Severity.CRITICAL and gates.acts(gate, verdicts[gate.name], 1):
            failing.gate_failed(draft, gate, verdicts[gate.name])
            return
    draft.judged = _judgement(draft, verdicts)
    pairs = [(g, verdicts[g.name]) for g in draft.spec.gates]
    draft.set_window(verdict=gates.overall(pairs).value)


def _whole_gate(draft: Draft, gate: Gate, agenda: Agenda, begun: datetime, status: GateStatus) -> GateStatus:
    count = _pooled(draft, gate, agenda, begun, whole=True)
    if isinstance(count, Unusable):
        return status.model_copy(update={"verdict": Verdict.NO_DATA.value, "message": count.message})
    verdict, message = gates.standing(gate, count)
    if gate.severity is Severity.CRITICAL and gates.trips(gate, Measured(count, count), count):
        verdict, message = Verdict.FAIL, "over its bound in the whole window"
    judged = gates.figures(gate, status, count)
    return judged.model_copy(
        update={"verdict": verdict.value, "message": message or None, "judged_samples": count.samples}
    )


def _judgement(draft: Draft, verdicts: dict[str, GateStatus]) -> Judgement:
    """Leaving needs a pass of every gate that counts, and one Normal gate that really measured."""
    counting = [g for g in draft.spec.gates if g.severity is not Severity.OBSERVE]
    measured = any(
        g.severity is Severity.NORMAL and verdicts[g.name].verdict == Verdict.PASS for g in counting
    )
    open_ = [g for g in counting if not _excused(g, verdicts[g.name])]
    if not open_ and measured:
        return Judgement.PASSED
    approvable = all(
        verdicts[g.name].verdict == Verdict.INSUFFICIENT
        and g.evidence.on_insufficient is OnInsufficient.REQUIRE_APPROVAL
        for g in open_
    )
    return Judgement.NEEDS_APPROVAL if open_ and approvable else Judgement.WAITS


def _excused(gate: Gate, status: GateStatus) -> bool:
    if status.verdict == Verdict.PASS:
        return True
    return status.verdict == Verdict.NO_DATA and gate.on_no_data is OnNoData.PASS


def _probe(draft: Draft) -> None:
    """Between two evaluations: one new bad event of a Critical gate is enough."""
    if not queries.watched(draft.resource.status) or draft.window.last_evaluation_time is None:
        return
    since = draft.window.last_evaluation_time.timestamp()
    for gate in draft.spec.gates:
        result = draft.seen.results.get(queries.probe_id(gate))
        if gate.severity is not Severity.CRITICAL or result is None:
            continue
        found = samples.growth(result, since, draft.now.timestamp(), staleness=float("inf"))
        if not isinstance(found, Growth) or found.total <= 0:
            continue
        status = status_of(draft, gate)
        pooled = Count((status.bad or 0) + found.total, (status.samples or 0))
        if gates.trips(gate, Measured(Count(found.total, 0), pooled), pooled):
            failing.gate_failed(draft, gate, status.model_copy(update={"bad": pooled.bad}))
            return
