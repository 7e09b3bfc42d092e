"""Judging one gate: what was counted, what it shows, whether it trips, whether it passes.

Two questions that must not be mixed. *Trip*, over the failure window: is it shown that the rate is over the
limit? *Pass*, over everything since the window began: is it shown that it is not? Between the two lies
`Insufficient`, which is neither. No measurement is never a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from dualtrack.api.gates import STATISTICAL_PRESETS, Gate, OnNoData, Preset, Severity
from dualtrack.api.status_evidence import GateStatus, Verdict
from dualtrack.rollout import evidence
from dualtrack.rollout.samples import Trouble, Unusable


@dataclass(frozen=True, slots=True)
class Count:
    """Bad events and events."""

    bad: int
    samples: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One look at a gate: what was added in this interval, and what the failure window holds."""

    interval: Count
    failure: Count
    restarts: int | None = None


def judge(gate: Gate, before: GateStatus, found: Measured | Unusable, at: datetime) -> GateStatus:
    """The gate's next status: counts pooled since the window began, verdict, bound."""
    if isinstance(found, Unusable):
        verdict = _of_trouble(gate, found)
        failures = (before.consecutive_failures or 0) + 1 if verdict is Verdict.FAIL else 0
        return before.model_copy(
            update={
                "verdict": verdict.value,
                "message": found.message,
                "consecutive_failures": failures,
                "measured_time": at,
                "bound": gate.max,
            }
        )
    pooled = Count((before.bad or 0) + found.interval.bad, (before.samples or 0) + found.interval.samples)
    tripped = trips(gate, found, pooled)
    verdict, message = (Verdict.FAIL, "over its bound") if tripped else standing(gate, pooled)
    status = figures(gate, before, pooled)
    return status.model_copy(
        update={
            "verdict": verdict.value,
            "message": message or None,
            "consecutive_failures": (before.consecutive_failures or 0) + 1 if tripped else 0,
            "measured_time": at,
            **({"restarts_seen": found.restarts} if found.restarts is not None else {}),
        }
    )


def trips(gate: Gate, found: Measured, pooled: Count) -> bool:
    """Whether this look shows that the gate is over its limit."""
    limit = Decimal(gate.max)
    if gate.preset not in STATISTICAL_PRESETS:
        if gate.preset is Preset.READY_FRACTION:
            return found.interval.bad > limit * found.interval.samples
        return pooled.bad > limit
    if gate.severity is Severity.CRITICAL:
        return found.interval.bad > 0  # One confirmed bad event: that is what Critical means.
    window = found.failure
    return evidence.shown_above(
        min(window.bad, window.samples),
        window.samples,
        float(limit),
        confidence(gate),
        gate.evidence.minimum_bad_events,
    )


def standing(gate: Gate, pooled: Count) -> tuple[Verdict, str]:
    """What everything since the window began shows: Pass, Insufficient, or that nothing was measured."""
    limit = Decimal(gate.max)
    if pooled.samples < gate.evidence.minimum_samples:
        return Verdict.NO_DATA, f"{pooled.samples} of at least {gate.evidence.minimum_samples} samples"
    if gate.preset is Preset.READY_FRACTION:
        over = pooled.bad > limit * pooled.samples
        return (Verdict.INSUFFICIENT, "not ready for too long so far") if over else (Verdict.PASS, "")
    if gate.preset not in STATISTICAL_PRESETS:
        return (Verdict.FAIL, "over its bound") if pooled.bad > limit else (Verdict.PASS, "")
    if limit >= 1:
        return Verdict.PASS, ""
    if limit == 0:
        # No finite sample shows a rate of nothing; asked for this, none bad among enough is taken for it.
        return (Verdict.INSUFFICIENT, "bad events with max 0") if pooled.bad else (Verdict.PASS, "")
    if evidence.shown_at_most(
        min(pooled.bad, pooled.samples), pooled.samples, float(limit), confidence(gate)
    ):
        return Verdict.PASS, ""
    return Verdict.INSUFFICIENT, "not enough evidence yet"


def figures(gate: Gate, before: GateStatus, pooled: Count) -> GateStatus:
    """The numbers that people see beside the verdict."""
    bad = min(pooled.bad, pooled.samples)
    update: dict[str, object] = {
        "bad": pooled.bad,
        "samples": pooled.samples,
        "bound": gate.max,
        "value": str(pooled.bad),
        "upper_bound": None,
        "samples_needed": max(0, gate.evidence.minimum_samples - pooled.samples),
    }
    limit = float(gate.max)
    if gate.preset in STATISTICAL_PRESETS and pooled.samples:
        update["value"] = number(pooled.bad / pooled.samples)
        update["upper_bound"] = number(evidence.upper_bound(bad, pooled.samples, confidence(gate)))
        if 0 < limit < 1:
            needed = evidence.samples_for_pass(bad, limit, confidence(gate))
            update["samples_needed"] = max(0, max(needed, gate.evidence.minimum_samples) - pooled.samples)
    elif gate.preset is Preset.READY_FRACTION:
        update["value"] = number(pooled.bad / pooled.samples) if pooled.samples else None
    return before.model_copy(update=update)


def confidence(gate: Gate) -> float:
    return gate.evidence.confidence_percent / 100


def number(value: float) -> str:
    return f"{value:.6g}"


def blocks(gate: Gate, status: GateStatus) -> bool:
    """Whether this verdict keeps the interval from counting as good."""
    if gate.severity is Severity.OBSERVE:
        return False
    if status.verdict == Verdict.NO_DATA:
        return gate.on_no_data is not OnNoData.PASS
    return status.verdict not in (Verdict.PASS, Verdict.INSUFFICIENT)


def acts(gate: Gate, status: GateStatus, consecutive_limit: int) -> bool:
    """Whether this gate has failed for good and something has to happen."""
    if status.verdict != Verdict.FAIL:
        return False
    if gate.severity is Severity.CRITICAL and status.bad:
        return True  # confirmed; a failure for want of data (`onNoData: Fail`) has to last
    return gate.severity is not Severity.OBSERVE and (status.consecutive_failures or 0) >= consecutive_limit


def overall(pairs: list[tuple[Gate, GateStatus]]) -> Verdict:
    """The worst verdict of the gates that count."""
    order = (Verdict.FAIL, Verdict.ERROR, Verdict.CANCELLED, Verdict.NO_DATA, Verdict.INSUFFICIENT)
    counting = [
        s.verdict
        for g, s in pairs
        if g.severity is not Severity.OBSERVE
        and not (s.verdict == Verdict.NO_DATA and g.on_no_data is OnNoData.PASS)
    ]
    worst = next((v for v in order if v in counting), Verdict.PASS)
    return worst if counting else Verdict.NO_DATA


def _of_trouble(gate: Gate, found: Unusable) -> Verdict:
    match found.trouble:
        case Trouble.EMPTY | Trouble.STALE | Trouble.PARTIAL:
            return Verdict.FAIL if gate.on_no_data is OnNoData.FAIL else Verdict.NO_DATA
        case Trouble.NOT_A_NUMBER | Trouble.DUPLICATE | Trouble.UNREACHABLE | Trouble.REFUSED:
            return Verdict.ERROR
