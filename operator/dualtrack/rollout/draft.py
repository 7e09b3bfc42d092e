"""The decision while it is being made: what was seen, the status as it grows, the actions so far.

One pass makes one draft and hands it from concern to concern; each may change the status and add actions,
and nothing leaves before all have had their say. It is the one mutable thing in this package, so that
everything else can stay a function of values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from dualtrack.api.conditions import Condition, ConditionStatus, ConditionType, Reason, with_condition
from dualtrack.api.fields import truncate
from dualtrack.api.phases import FixedPhase, OnFailure, TrafficPhase
from dualtrack.api.resource import MetadataMigration
from dualtrack.api.spec import MigrationSpec
from dualtrack.api.status import HANDLED_COMMANDS_LIMIT, HISTORY_LIMIT, MigrationStatus
from dualtrack.api.status_evidence import ObservationStatus
from dualtrack.api.status_people import HandledCommand, HistoryEntry, PauseStatus
from dualtrack.api.status_target import TargetStatus
from dualtrack.rollout import plan
from dualtrack.rollout.decision import Action, Decision, Event
from dualtrack.rollout.plan import Reach, Station
from dualtrack.rollout.world import Observation

_EVENT_LIMIT = 1000


class Judgement(StrEnum):
    """What the last judgement of a complete window says of leaving it."""

    PASSED = "Passed"
    NEEDS_APPROVAL = "NeedsApproval"
    WAITS = "Waits"


class Draft:
    """See the module. `message` is what is awaited; `delay` when to look again, in seconds."""

    def __init__(self, seen: Observation, resource: MetadataMigration) -> None:
        self.seen = seen
        self.resource = resource
        self.spec: MigrationSpec = resource.spec
        self.status: MigrationStatus = resource.status
        self.now: datetime = seen.now.astimezone(UTC).replace(microsecond=0)
        self.actions: list[Action] = []
        self.delay: float = 10.0
        self.done = False
        self.message = ""
        self.stalled: tuple[Reason, str] | None = None
        self.judged: Judgement | None = None
        self.accounted = False

    # ---- what is
    @property
    def uid(self) -> str:
        return self.resource.metadata.uid

    @property
    def namespace(self) -> str:
        return self.resource.metadata.namespace

    @property
    def name(self) -> str:
        return self.resource.metadata.name

    @property
    def attempt(self) -> int:
        return self.status.attempt or self.spec.attempt

    @property
    def phase(self) -> str:
        return self.status.phase or ""

    @property
    def step(self) -> str:
        return self.status.step or ""

    @property
    def target(self) -> TargetStatus:
        return self.status.target or TargetStatus()

    @property
    def window(self) -> ObservationStatus:
        return self.status.observation or ObservationStatus()

    @property
    def held(self) -> bool:
        """Nothing goes forward. The way back is not held by suspension, only by a failing restore."""
        if self.status.pause is not None:
            return True
        return self.spec.suspend and self.phase != FixedPhase.ROLLING_BACK

    @property
    def past_cut_over(self) -> bool:
        """The variables decide whether data is visible: they are kept without limit."""
        desired = self.target.desired
        return desired is not None and desired.fallback == "false"

    def stations(self) -> tuple[Station, ...]:
        return route(self.spec, self.status)

    def station(self) -> Station | None:
        return plan.find(self.stations(), self.phase, self.step)

    def traffic_phase(self) -> TrafficPhase | None:
        return next((p for p in self.spec.phases if p.name == self.phase), None)

    def on_failure(self) -> OnFailure:
        """Automatic rollback is a traffic phase's choice and ends with them."""
        phase = self.traffic_phase()
        return phase.on_failure if phase is not None else OnFailure.PAUSE

    def unread(self, what: str) -> str:
        """Why this could not be read in this pass; empty where nothing of the kind is known."""
        return next((f for f in self.seen.failures if f.startswith(f"{what}:")), "")

    def age(self, since: datetime | None) -> float:
        """Seconds since a recorded time; never negative, whatever the clock did."""
        return max(0.0, (self.now - since).total_seconds()) if since is not None else 0.0

    # ---- what is decided
    def set(self, **changes: Any) -> None:
        self.status = self.status.model_copy(update=changes)

    def set_target(self, **changes: Any) -> None:
        self.set(target=self.target.model_copy(update=changes))

    def set_window(self, **changes: Any) -> None:
        self.set(observation=self.window.model_copy(update=changes))

    def act(self, action: Action) -> None:
        self.actions.append(action)

    def event(self, reason: Reason, message: str, kind: Literal["Normal", "Warning"] = "Normal") -> None:
        self.actions.append(Event(kind, reason.value, truncate(message, _EVENT_LIMIT)))

    def await_(self, message: str, delay: float | None = None) -> None:
        """Say what is awaited. The last word of a pass is what people read."""
        self.message = message
        if delay is not None:
            self.delay = min(self.delay, delay)

    def condition(self, kind: ConditionType, status: bool | None, reason: Reason, message: str = "") -> None:
        value = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE, None: ConditionStatus.UNKNOWN}
        self.set(
            conditions=with_condition(
                self.status.conditions or (),
                kind,
                value[status],
                reason,
                message,
                generation=self.resource.metadata.generation,
                now=self.now,
            )
        )

    def find_condition(self, kind: ConditionType) -> Condition | None:
        return next((c for c in self.status.conditions or () if c.type == kind), None)

    def record(
        self,
        origin: str,
        to: str,
        cause: Reason,
        *,
        actor: str = "operator",
        message: str = "",
        evidence: str | None = None,
    ) -> None:
        entry = HistoryEntry(
            time=self.now,
            attempt=self.attempt,
            origin=origin,
            to=to,
            cause=cause.value,
            actor=actor,
            evidence_digest=evidence,
            message=truncate(message, 256) or None,
        )
        self.set(history=(entry, *(self.status.history or ()))[:HISTORY_LIMIT])

    def handled(self, text: str) -> HandledCommand | None:
        return next((h for h in self.status.handled_commands or () if h.command == text), None)

    def handle(self, text: str, outcome: str, actor: str = "Unverified", message: str = "") -> None:
        entry = HandledCommand(
            command=truncate(text, 256),
            time=self.now,
            outcome=outcome,
            actor=actor,
            message=truncate(message, 256) or None,
        )
        self.set(handled_commands=(entry, *(self.status.handled_commands or ()))[:HANDLED_COMMANDS_LIMIT])

    def pause(
        self, cause: Reason, message: str, *, ident: str | None = None, actor: str = "operator"
    ) -> None:
        """Stop going forward until somebody resumes this very pause."""
        if ident is None:
            ident = digest(self.uid, self.attempt, self.phase, self.step, cause, self.now.isoformat())[7:15]
        self.set(
            pause=PauseStatus(id=ident, cause=cause.value, message=truncate(message, 1024), since=self.now),
            pending_approval=None,
        )
        self.record(self.phase, "Paused", cause, actor=actor, message=message)
        self.event(cause, f"{self.phase} paused in {self.step}: {message}", "Warning")
        self.delay = min(self.delay, 1.0)

    def decision(self) -> Decision:
        """The draft as it leaves, validated once more: the API server would refuse a status that is not."""
        valid = MigrationStatus.model_validate(self.status.model_dump(by_alias=True))
        return Decision(
            status=valid.model_dump(by_alias=True, exclude_none=True, mode="json"),
            actions=tuple(self.actions),
            delay_seconds=self.delay,
            done=self.done,
        )


def route(spec: MigrationSpec, status: MigrationStatus) -> tuple[Station, ...]:
    """The stations of whichever way is being gone."""
    rollback = status.rollback
    if status.phase in (FixedPhase.ROLLING_BACK, FixedPhase.ROLLED_BACK) and rollback is not None:
        return plan.back(plan.reach(spec, rollback.from_phase or "", rollback.from_step or ""))
    return plan.forward(spec)


def back_reach(draft: Draft) -> Reach:
    """What a rollback from here would have to undo."""
    return plan.reach(draft.spec, draft.phase, draft.step)


def digest(*parts: object) -> str:
    """A stable digest of values, `sha256:` and hex."""
    text = json.dumps([str(p) for p in parts], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def digest_json(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
