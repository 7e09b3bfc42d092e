"""One pass: observe → decide → act → report.

`Reconciler.once` is the whole loop of the operator. It reads everything anew, asks the core, executes, and
writes down what was decided. It keeps nothing that matters: a process that is killed anywhere and started
again goes on from the objects in the cluster.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from dualtrack.adapters.kinds import MIGRATION
from dualtrack.adapters.kubernetes import ApiError, Conflict, KubernetesGateway, NotFound
from dualtrack.controller.act import WriteAction, describe, execute
from dualtrack.controller.metrics import OperatorMetrics
from dualtrack.controller.observe import Queries, observe
from dualtrack.controller.report import differs, fitting, post_event, write_status
from dualtrack.errors import DualTrackError, UnavailableError
from dualtrack.rollout.decision import Decision, Event
from dualtrack.rollout.world import Installation, JsonObject, Observation

log = logging.getLogger(__name__)

CONFLICT_SECONDS: Final = 1.0
GONE_SECONDS: Final = 3600.0
MOST_UNTOLD: Final = 20


class PassError(DualTrackError):
    """An action failed; the message names it. The pass wrote no status."""


@dataclass(frozen=True, slots=True)
class Core:
    """The two pure functions that the loop asks."""

    decide: Callable[[Observation], Decision]
    queries: Queries


@dataclass(frozen=True, slots=True)
class Outcome:
    """When to look again, and whether a deleted migration may go."""

    delay_seconds: float
    done: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """What wakes a migration besides its own changes."""

    deployment: str
    selector: Mapping[str, Any]


@dataclass(slots=True)
class _Memory:
    """Of one migration, for economy and for words only; losing it changes no decision."""

    lock: asyncio.Lock
    failure: str = ""
    watched: Watched | None = None
    decided: Mapping[str, Any] | None = None
    stored: Mapping[str, Any] | None = None
    untold: tuple[Event, ...] = ()


class Reconciler:
    """Passes of all migrations. Two passes of one migration never run at once in a process."""

    def __init__(
        self,
        gateway: KubernetesGateway,
        installation: Installation,
        core: Core,
        metrics: OperatorMetrics,
        *,
        identity: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._gateway = gateway
        self._installation = installation
        self._core = core
        self._metrics = metrics
        self._identity = identity
        self._clock = clock
        self._memories: dict[tuple[str, str], _Memory] = {}

    async def once(self, namespace: str, name: str) -> Outcome:
        """One pass. Raises what ended it; the caller tries again later."""
        memory = self._memories.setdefault((namespace, name), _Memory(asyncio.Lock()))
        async with memory.lock:
            started = time.monotonic()
            result = "error"
            try:
                outcome, result = await self._pass(namespace, name, memory)
                memory.failure = ""
                return outcome
            finally:
                self._metrics.seconds.observe(time.monotonic() - started)
                if result != "gone":
                    self._metrics.passes.labels(namespace, name, result).inc()

    def forget(self, namespace: str, name: str) -> None:
        """The migration is gone: so are its series and what was remembered."""
        self._memories.pop((namespace, name), None)
        self._metrics.forget(namespace, name)

    def watched(self) -> Mapping[tuple[str, str], Watched]:
        """Which Deployment and pods wake which migration, by namespace and name."""
        return {key: memory.watched for key, memory in self._memories.items() if memory.watched}

    async def _pass(self, namespace: str, name: str, memory: _Memory) -> tuple[Outcome, str]:
        try:
            migration = await self._gateway.get(MIGRATION, namespace, name)
        except NotFound:
            self.forget(namespace, name)
            return Outcome(GONE_SECONDS, done=True), "gone"
        now = self._clock()
        seen = await observe(
            self._gateway, self._installation, self._core.queries, migration, now, memory.failure
        )
        memory.watched = _watched(seen)
        decision = self._core.decide(seen)
        status = fitting(decision.status)
        # Events are told once what they tell is on record; a pass that fails leaves them to the next.
        events = tuple(action for action in decision.actions if isinstance(action, Event))
        memory.untold = tuple(dict.fromkeys((*memory.untold, *events)))[-MOST_UNTOLD:]
        await self._act(namespace, name, decision, memory)
        try:
            await self._report(migration, status, memory)
        except Conflict:
            # Somebody changed the migration since it was read: what was decided is about an old object.
            log.info(
                "status decided from an older version", extra={"namespace": namespace, "migration": name}
            )
            return Outcome(CONFLICT_SECONDS), "conflict"
        for event in memory.untold:
            await self._tell(migration, event, now)
        memory.untold = ()
        self._metrics.publish(namespace, name, status)
        return Outcome(decision.delay_seconds, decision.done), "ok"

    async def _act(self, namespace: str, name: str, decision: Decision, memory: _Memory) -> None:
        for action in decision.actions:
            if isinstance(action, Event):
                continue
            await self._execute(namespace, name, action, memory)

    async def _execute(self, namespace: str, name: str, action: WriteAction, memory: _Memory) -> None:
        what = describe(action)
        counter = self._metrics.actions
        try:
            await execute(self._gateway, action)
        except (ApiError, UnavailableError) as error:
            counter.labels(namespace, name, type(action).__name__, "error").inc()
            memory.failure = f"{what}: {error}"
            raise PassError(memory.failure) from error
        counter.labels(namespace, name, type(action).__name__, "ok").inc()
        log.info("acted", extra={"namespace": namespace, "migration": name, "action": what})

    async def _report(self, migration: JsonObject, status: Mapping[str, Any], memory: _Memory) -> None:
        """Write the status unless it is there already, as decided or as the server keeps it."""
        live = migration.get("status") or {}
        if not differs(migration, status):
            return
        if status == memory.decided and live == memory.stored:
            return
        answer = await write_status(self._gateway, migration, status)
        memory.decided, memory.stored = status, answer.get("status") or {}
        metadata = migration["metadata"]
        self._metrics.status_writes.labels(metadata["namespace"], metadata["name"]).inc()
        _log_transition(migration, status)

    async def _tell(self, migration: JsonObject, event: Event, now: datetime) -> None:
        try:
            await post_event(self._gateway, migration, event, now=now, identity=self._identity)
        except (ApiError, UnavailableError) as error:
            # The status is the record; an event that is lost costs a line in `kubectl describe`.
            log.warning("event not posted: %s", error, extra={"reason": event.reason})


def _watched(seen: Observation) -> Watched | None:
    if seen.target is None:
        name = ((seen.migration.get("spec") or {}).get("target") or {}).get("name")
        return Watched(str(name), {}) if name else None
    return Watched(str(seen.target["metadata"]["name"]), seen.target["spec"]["selector"])


def _log_transition(migration: JsonObject, after: Mapping[str, Any]) -> None:
    before = migration.get("status") or {}
    if (before.get("phase"), before.get("step")) != (after.get("phase"), after.get("step")):
        log.info(
            "transition",
            extra={
                "namespace": migration["metadata"]["namespace"],
                "migration": migration["metadata"]["name"],
                "phase": after.get("phase"),
                "step": after.get("step"),
                "was": f"{before.get('phase', '')}/{before.get('step', '')}",
            },
        )
