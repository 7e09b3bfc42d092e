"""Whether Prometheus has what the gates will ask for, before anything depends on it.

A gate whose series do not exist would never be evaluated and so never fail. Here it is refused by name, and
so is a latency threshold that is no boundary of the histogram.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from dualtrack.api.gates import Gate, OnNoData, Preset, Severity
from dualtrack.rollout import presets, queries, samples
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.preflight import Refusal
from dualtrack.rollout.samples import Trouble, Unusable
from dualtrack.rollout.world import Matrix, QueryFailure


def asked(draft: Draft) -> bool:
    """Whether this pass has the preflight's answers."""
    return queries.PREFLIGHT_INFO in draft.seen.results


def outage(draft: Draft) -> str:
    """Why Prometheus cannot be judged by; empty when it answers."""
    for result in draft.seen.results.values():
        if isinstance(result, QueryFailure) and result.kind == "Unreachable":
            return result.message or "no answer"
    return ""


def refusals(draft: Draft) -> list[Refusal]:
    """Queries without data, and thresholds that are no bucket boundary."""
    found = list(_info(draft))
    for gate in draft.spec.gates:
        if gate.severity is not Severity.OBSERVE and gate.on_no_data is not OnNoData.PASS:
            found += _gate(draft, gate)
    return found


def _info(draft: Draft) -> Iterator[Refusal]:
    result = draft.seen.results.get(queries.PREFLIGHT_INFO)
    problem = _problem(draft, result)
    if problem:
        query = presets.info(draft.namespace, draft.spec.target.name)
        yield Refusal(
            f"Prometheus has no {query}: {problem}; make it scrape the target's pods with the labels"
            " namespace and pod"
        )


def _gate(draft: Draft, gate: Gate) -> Iterator[Refusal]:
    measure = presets.measure(gate, draft.namespace, draft.spec.target.name)
    for part, query in measure.parts.items():
        result = draft.seen.results.get(queries.preflight_id(gate, part))
        problem = _problem(draft, result)
        if problem:
            yield Refusal(
                f"spec.gates[{gate.name}]: {query}: {problem}; the target must export it, and Prometheus"
                " scrape it"
            )
        elif part == "within" and gate.preset is Preset.LATENCY_FRACTION and isinstance(result, Matrix):
            yield from _threshold(gate, result)


def _threshold(gate: Gate, result: Matrix) -> Iterator[Refusal]:
    known: set[Decimal] = set()
    for series in result.series:
        try:
            bound = Decimal(series.labels.get("le", ""))
        except InvalidOperation:
            continue
        if bound.is_finite():
            known.add(bound)
    wanted = presets.threshold(gate)
    if wanted not in known:
        listed = ", ".join(format(b.normalize(), "f") for b in sorted(known)) or "none"
        yield Refusal(
            f"spec.gates[{gate.name}].args[thresholdMilliseconds]: {wanted} is no bucket boundary of"
            f" {presets.latency_metric(gate)}; must be one of {listed}"
        )


def _problem(draft: Draft, result: Matrix | QueryFailure | None) -> str:
    now = draft.now.timestamp()
    staleness = 5 * draft.spec.prometheus.scrape_interval_seconds
    found = samples.checked(result, float("-inf"), now, staleness=staleness)
    if not isinstance(found, Unusable) or found.trouble is Trouble.UNREACHABLE:
        return ""
    return found.message
