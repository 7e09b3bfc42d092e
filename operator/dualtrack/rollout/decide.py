"""The one function that decides a phase: `decide(observation) -> Decision`.

The order is the safety: what has failed acts before anything may go forward in the same pass; what people
command comes before what the plan wants; a target that is not as it was left is put right first; a switch
that has begun is finished; and only then the present station may take its next step.

Deciding again from the same observation gives the same decision, and executing a decision twice is
harmless. That is all that restarts, crashes and two operators at once rely on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from dualtrack.api import load
from dualtrack.api.conditions import Condition, ConditionStatus, ConditionType, Reason, with_condition
from dualtrack.api.fields import truncate
from dualtrack.api.phases import FixedPhase
from dualtrack.api.spec import Mode
from dualtrack.errors import InvalidResourceError
from dualtrack.rollout import (
    approvals,
    attempts,
    claim,
    commands,
    conditions,
    deletion,
    drift,
    dryrun,
    evaluation,
    jobs,
    kube,
    messages,
    queries,
    stations,
    switching,
    traffic,
)
from dualtrack.rollout.decision import Decision
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.world import Observation

_RECHECK_INVALID_SECONDS = 60.0
_SHORTEST_DELAY_SECONDS = 0.5


def decide(observation: Observation) -> Decision:
    """The next status, the actions that lead there, and when to look again."""
    try:
        resource = load.parse(observation.migration)
    except InvalidResourceError as error:
        return _invalid(observation, str(error))
    draft = Draft(observation, resource)
    _pass(draft)
    conditions.derive(draft)
    return draft.decision()


def _pass(draft: Draft) -> None:
    if draft.resource.metadata.deletion_timestamp is not None and deletion.settle(draft):
        return
    if draft.spec.mode is Mode.DRY_RUN:
        dryrun.report(draft)
        return
    if attempts.begin(draft):
        return
    if draft.target.lease_name is not None and not claim.kept(draft):
        return
    if not traffic.loosened(draft):
        evaluation.evaluate(draft)
    commands.handle(draft)
    conditions.account_for_holding(draft)
    if draft.target.lease_name is not None and not drift.guard(draft):
        return
    if draft.status.switch is not None:
        _finish_switch(draft)
    else:
        _forward(draft)
    approvals.refuse_unasked(draft)
    _in_time_for_the_next_interval(draft)


def _in_time_for_the_next_interval(draft: Draft) -> None:
    following = draft.window.next_evaluation_time
    if queries.watched(draft.status) and following is not None:
        left = (following - draft.now).total_seconds()
        draft.delay = min(draft.delay, max(_SHORTEST_DELAY_SECONDS, left))


def _finish_switch(draft: Draft) -> None:
    """A change that has begun is carried through, whatever holds the rest."""
    purpose = draft.status.switch.purpose if draft.status.switch else ""
    if not switching.go_on(draft):
        return
    if purpose == switching.REAPPLY:
        drift.reapplied(draft)
    elif not draft.held:
        _forward(draft)


def _forward(draft: Draft) -> None:
    if draft.held:
        jobs.quiesce(draft)
        draft.await_(messages.awaiting(draft, messages.held(draft)))
        return
    if traffic.overdue(draft):
        return
    station = draft.station()
    if station is None:
        known = ", ".join(sorted({s.phase for s in draft.stations()}))
        why = f"status.phase {draft.phase}/{draft.step} is not on the way of this spec ({known})"
        draft.stalled = (Reason.INVALID_SPEC, why)
        draft.await_(messages.awaiting(draft, why))
        return
    stations.run(draft, station)


def _invalid(observation: Observation, why: str) -> Decision:
    """Nothing is done by a spec that cannot be read; what was recorded stays as it is."""
    status: dict[str, Any] = dict(kube.dig(observation.migration, "status") or {})
    generation = int(kube.dig(observation.migration, "metadata", "generation") or 0)
    deleted = bool(kube.dig(observation.migration, "metadata", "deletionTimestamp"))
    known = tuple(_conditions(status))
    now = observation.now.astimezone(UTC).replace(microsecond=0)
    for kind, value in (
        (ConditionType.STALLED, ConditionStatus.TRUE),
        (ConditionType.READY, ConditionStatus.FALSE),
    ):
        known = with_condition(
            known, kind, value, Reason.INVALID_SPEC, truncate(why), generation=generation, now=now
        )
    status["phase"] = status.get("phase") or FixedPhase.PENDING.value
    status["message"] = truncate(why)
    status["observedGeneration"] = generation
    status["conditions"] = [c.model_dump(by_alias=True, exclude_none=True, mode="json") for c in known]
    return Decision(status=status, delay_seconds=_RECHECK_INVALID_SECONDS, done=deleted)


def _conditions(status: Mapping[str, Any]) -> list[Condition]:
    return [Condition.model_validate(c) for c in kube.items(status, "conditions")]
