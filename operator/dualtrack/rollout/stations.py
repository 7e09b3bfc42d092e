"""Doing what the present station asks for: one task, one function.

Whatever holds the migration back has been looked at before. A station either says what it waits for, or
goes on to the next one; never both, and never two in one pass.
"""

from __future__ import annotations

from typing import assert_never

from dualtrack.api.conditions import ConditionType, Reason
from dualtrack.api.names import TARGET_ENV
from dualtrack.api.phases import FixedPhase
from dualtrack.api.spec import ValidationPolicy
from dualtrack.api.status_evidence import ValidationState, ValidationStatus
from dualtrack.rollout import (
    claim,
    completing,
    drift,
    jobs,
    kube,
    messages,
    metricscheck,
    modes,
    preflight,
    results,
    samplecheck,
    switching,
    traffic,
    travel,
    tuning,
    window,
)
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import Ask, Change, Check, Claim, Cover, Rest, Station, Step, WarmUp, Watch, Work


def run(draft: Draft, station: Station) -> None:
    """Carry the station's task as far as what was seen allows."""
    match station.task:
        case Claim():
            if claim.acquire(draft):
                travel.advance(draft, station, Reason.CLAIMED)
        case Check():
            _check(draft, station)
        case Cover():
            _cover(draft, station)
        case Work():
            _work(draft, station, station.task)
        case Change():
            if switching.run(draft, station.task.mode):
                travel.advance(draft, station, Reason.SWITCHED)
        case WarmUp():
            traffic.warm_up(draft, station, station.task)
        case Watch():
            _watch(draft, station, station.task)
        case Ask():
            completing.ask(draft, station, station.task)
        case Rest():
            draft.await_(_resting(draft), delay=30.0)
        case _:
            assert_never(station.task)


def _check(draft: Draft, station: Station) -> None:
    unknown = preflight.unknown(draft)
    if unknown:
        draft.await_(messages.awaiting(draft, unknown))
        return
    if not metricscheck.asked(draft):
        draft.await_(messages.awaiting(draft, "asking Prometheus"), delay=1.0)
        return
    away = metricscheck.outage(draft)
    found = [*preflight.refusals(draft), *metricscheck.refusals(draft)]
    if found:
        text = "; ".join(r.message for r in found)
        draft.stalled = (found[0].reason, text)
        draft.await_(messages.awaiting(draft, f"the target cannot be switched safely: {text}"), delay=30.0)
        return
    if away:
        draft.condition(ConditionType.METRICS_AVAILABLE, False, Reason.PROMETHEUS_UNREACHABLE, away)
        draft.await_(messages.awaiting(draft, f"Prometheus does not answer: {away}"))
        return
    draft.condition(ConditionType.METRICS_AVAILABLE, True, Reason.METRICS_COMPLETE)
    draft.set_target(pod_template_digest=drift.template_digest(draft))
    if modes.mode_of(draft.target.desired) == modes.FILES_ONLY:
        draft.set_target(variables_before=tuning.found(draft) or None)
    draft.set(epoch=_first_epoch(draft))
    travel.advance(draft, station, Reason.PREFLIGHT_PASSED)


def _first_epoch(draft: Draft) -> int:
    """One more than any epoch that this target has been told."""
    spec = kube.dig(draft.seen.target, "spec", "template", "spec")
    _, found = modes.found_mode(kube.env(spec, draft.spec.target.container_name, TARGET_ENV))
    return max(found, draft.status.epoch or 0) + 1


def _cover(draft: Draft, station: Station) -> None:
    """S3 coverage is not measured by this version, and nothing that was not run passes by itself."""
    validation = draft.spec.validation
    if validation.policy is ValidationPolicy.SKIP:
        draft.set(
            validation=ValidationStatus(
                state=ValidationState.SKIPPED.value,
                message=f"NotRun; let pass because: {validation.skip_reason}",
            )
        )
        draft.record(draft.step, draft.step, Reason.VALIDATION_SKIPPED, message=validation.skip_reason or "")
        travel.advance(draft, station, Reason.VALIDATION_SKIPPED)
        return
    why = "S3 coverage is NotRun; to go on without it: spec.validation.policy: Skip with a skipReason"
    draft.set(validation=ValidationStatus(state=ValidationState.NOT_RUN.value, message=why))
    draft.stalled = (Reason.COVERAGE_NOT_RUN, why)
    draft.await_(messages.awaiting(draft, why), delay=30.0)


def _work(draft: Draft, station: Station, work: Work) -> None:
    first = station.step is Step.MARK_KV_ONLY and jobs.find(draft, station.step.value) is None
    if first and not completing.ready_for_cut_over(draft):
        return
    result = jobs.run(draft, station.step.value, work.verb, snapshot=work.snapshot)
    if result is None:
        return
    if results.accept(draft, station.step, work, result):
        travel.advance(draft, station, Reason.JOB_COMPLETE)


def _watch(draft: Draft, station: Station, task: Watch) -> None:
    """A window is not left, and nobody is asked to leave it, while a check of it is at work."""
    checking = samplecheck.go_on(draft, station)
    if draft.held or draft.station() != station:
        return  # its finding has stopped this, or turned it round
    held = window.complete(draft.window, draft.spec.evaluation.minimum_coverage_percent)
    if checking and (held or draft.judged is not None or draft.status.pending_approval is not None):
        if draft.judged is not None:
            traffic.judge_again(draft)
        draft.await_(messages.awaiting(draft, "waiting for the sampled check that is at work"), delay=3.0)
        return
    traffic.watch(draft, station, task)


def _resting(draft: Draft) -> str:
    if draft.phase == FixedPhase.COMPLETE:
        return messages.awaiting(draft, "done; the claim and the watch for drift stay until this is deleted")
    if draft.phase == FixedPhase.FAILED:
        return messages.awaiting(draft, "this attempt has ended; raise spec.attempt to start again")
    rollback = draft.status.rollback
    why = (
        f"rolled back from {rollback.from_phase}/{rollback.from_step}: {rollback.message}" if rollback else ""
    )
    return messages.awaiting(draft, f"{why}; raise spec.attempt to start again")
