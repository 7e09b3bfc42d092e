"""The operator's own metrics, `dualtrack_…`.

Series of a migration are computed at scrape from its newest status, so that they go away with it and can
never disagree with what `kubectl get` shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MIGRATION: Final = ("namespace", "name")
CONDITION_VALUES: Final = {"True": 1.0, "False": 0.0}
UNKNOWN: Final = -1.0


class OperatorMetrics:
    """Counters of the loop, and the migrations' newest statuses."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._statuses: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.passes = Counter(
            "dualtrack_reconcile_passes", "Passes of the loop", (*MIGRATION, "result"), registry=self.registry
        )
        self.seconds = Histogram(
            "dualtrack_reconcile_seconds",
            "Duration of a pass",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self.registry,
        )
        self.status_writes = Counter(
            "dualtrack_status_writes", "Writes of a migration's status", MIGRATION, registry=self.registry
        )
        self.actions = Counter(
            "dualtrack_actions", "Executed actions", (*MIGRATION, "action", "result"), registry=self.registry
        )
        self.registry.register(_Statuses(self._statuses))

    def publish(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        self._statuses[namespace, name] = status

    def forget(self, namespace: str, name: str) -> None:
        """Remove every series of a migration that is gone."""
        self._statuses.pop((namespace, name), None)
        for counter in (self.passes, self.status_writes, self.actions):
            counter.remove_by_labels({"namespace": namespace, "name": name})

    def render(self) -> bytes:
        return generate_latest(self.registry)


class _Statuses(Collector):
    def __init__(self, statuses: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterable[Metric]:
        families = {name: GaugeMetricFamily(name, text, labels=labels) for name, text, labels in _FAMILIES}
        for migration, status in self._statuses.items():
            for family, labels, value in _samples(status):
                families[family].add_metric([*migration, *labels], value)
        return families.values()


_JOB: Final = (*MIGRATION, "step", "state")
_FAMILIES: Final = (
    ("dualtrack_migration_info", "Where a migration is", (*MIGRATION, "phase", "step")),
    ("dualtrack_migration_attempt", "Number of the attempt", MIGRATION),
    ("dualtrack_migration_epoch", "Epoch of the target", MIGRATION),
    ("dualtrack_migration_ratio_percent", "Wanted share of the dual track", MIGRATION),
    ("dualtrack_migration_observed_seconds", "Good time in the current window", MIGRATION),
    ("dualtrack_migration_required_seconds", "Good time that the window needs", MIGRATION),
    ("dualtrack_migration_condition", "1 true, 0 false, -1 unknown", (*MIGRATION, "type", "reason")),
    ("dualtrack_job_scanned", "Objects that the newest Job of a step has seen", _JOB),
    ("dualtrack_job_expected", "Objects that it expects to see, once it knows", _JOB),
    ("dualtrack_gate_value", "Measured value of a gate", (*MIGRATION, "gate", "verdict")),
    ("dualtrack_gate_upper_bound", "Upper confidence bound of a gate", (*MIGRATION, "gate")),
)


def _samples(status: Mapping[str, Any]) -> Iterable[tuple[str, tuple[str, ...], float]]:
    yield "dualtrack_migration_info", (_text(status, "phase"), _text(status, "step")), 1.0
    desired = (status.get("target") or {}).get("desired") or {}
    observation = status.get("observation") or {}
    for family, value in (
        ("dualtrack_migration_attempt", status.get("attempt")),
        ("dualtrack_migration_epoch", status.get("epoch")),
        ("dualtrack_migration_ratio_percent", desired.get("ratioPercent")),
        ("dualtrack_migration_observed_seconds", observation.get("observedSeconds")),
        ("dualtrack_migration_required_seconds", observation.get("requiredSeconds")),
    ):
        if value is not None:
            yield family, (), float(value)
    for condition in status.get("conditions") or ():
        labels = (_text(condition, "type"), _text(condition, "reason"))
        yield "dualtrack_migration_condition", labels, CONDITION_VALUES.get(condition.get("status"), UNKNOWN)
    for job in _newest(status.get("jobs") or ()):
        for family, value in (("scanned", job.get("scanned")), ("expected", job.get("total"))):
            if value is not None:
                yield f"dualtrack_job_{family}", (_text(job, "step"), _text(job, "state")), float(value)
    for gate in status.get("gates") or ():
        if gate.get("value") is not None:
            labels = (_text(gate, "name"), _text(gate, "verdict"))
            yield "dualtrack_gate_value", labels, float(gate["value"])
        if gate.get("upperBound") is not None:
            yield "dualtrack_gate_upper_bound", (_text(gate, "name"),), float(gate["upperBound"])


def _newest(jobs: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """One of each step, so that there are no more series than steps."""
    ordered = sorted(jobs, key=lambda job: int(job.get("generation") or 0))
    return {_text(job, "step"): job for job in ordered}.values()


def _text(part: Mapping[str, Any], key: str) -> str:
    return str(part.get(key) or "")
