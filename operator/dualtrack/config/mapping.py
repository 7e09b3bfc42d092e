"""The values of a `migration.yaml` as a MetadataMigration, and what a MetadataMigration cannot say of them.

Nothing is dropped silently: each value either is in the resource or has a note. What the guide's file
does not know and the resource needs (the target, the drive, Prometheus) the command line says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from dualtrack.api import names
from dualtrack.api.load import parse
from dualtrack.api.phases import DEFAULT_PHASES
from dualtrack.api.spec import INLINE_MOST
from dualtrack.config.schema import WARMUP_SECONDS, Values

_EXPAND: Final = 25
_DEADLINE: Final = 1_209_600
_PERCENT_PER_WEEK: Final = 20  # the guide's plan for its second phase, of which its file says nothing
_PRIORITY: Final = {"access_frequency": "AccessFrequency", "size": "Size", "random": "Random"}
_THRESHOLD: Final = "migration.canary.auto_expand_threshold"
_FIXED: Final = (
    "metadata.inline_data.enable_compression",
    "metadata.inline_data.compression_algo",
    "metadata.inline_data.separate_threshold_bytes",
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the guide's file does not know."""

    name: str
    namespace: str
    target: str
    container: str
    drive_name: str
    mount_path: str
    acknowledgement_secret: str
    prometheus: str
    snapshot_claim: str | None = None
    skip_validation: str | None = None


def resource(values: Values, around: Surroundings) -> tuple[dict[str, Any], list[str]]:
    """The MetadataMigration, and a note for each value that it cannot say. InvalidResourceError if what the
    surroundings name cannot be accepted.
    """
    notes: list[str] = []
    spec: dict[str, Any] = {
        "suspend": not values["migration.enable_dual_track"],
        "target": {
            "name": around.target,
            "containerName": around.container,
            "acknowledgement": {"secretRef": {"name": around.acknowledgement_secret}},
        },
        "drives": [{"name": around.drive_name, "mountPath": around.mount_path}],
        "consistency": _consistency(values, notes),
        "prometheus": {"address": around.prometheus},
        "gates": _gates(values),
        "phases": _phases(values, notes),
        "sweep": _sweep(values, notes),
    }
    if around.skip_validation is not None:
        spec["validation"] = {"policy": "Skip", "skipReason": around.skip_validation}
    if around.snapshot_claim is not None:
        spec["completing"] = {"snapshotClaimName": around.snapshot_claim}
    notes += _of_the_data_plane(values)
    made = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": around.name, "namespace": around.namespace},
        "spec": spec,
    }
    parse(made)
    return made, notes


def _phases(values: Values, notes: list[str]) -> list[dict[str, Any]]:
    ratio = Decimal(values["migration.canary.traffic_ratio"]) * 100
    percent = max(1, int(ratio))
    if percent != ratio:
        notes.append(
            f"migration.canary.traffic_ratio: {_text(ratio / 100)} is no whole percent; it became {percent}"
        )
    ladder = [("Canary", percent), ("Expand", _EXPAND), ("FullOut", 100)]
    first = {"observationSeconds": values["migration.canary.duration_seconds"]}
    needed = int(values["migration.canary.duration_seconds"]) + WARMUP_SECONDS
    if needed >= _DEADLINE:
        first["deadlineSeconds"] = min(2 * needed, 31_536_000)
    phases: list[dict[str, Any]] = []
    for name, step in ladder:
        if not phases or step > percent:
            phases.append({"name": name, "ratioPercent": step, **(first if not phases else _default(name))})
        else:
            notes.append(
                f"phase {name} of {step} percent is left out: the canary begins with {percent} percent"
            )
    return phases


def _default(name: str) -> dict[str, Any]:
    phase = next(each for each in DEFAULT_PHASES if each.name == name)
    return {"observationSeconds": phase.observation_seconds, "deadlineSeconds": phase.deadline_seconds}


def _gates(values: Values) -> list[dict[str, Any]]:
    """The guide's two thresholds, and the comparison of both tracks that it does all along."""
    return [
        {
            "name": "error-rate",
            "preset": "error-rate",
            "max": _text(values[f"{_THRESHOLD}.error_rate"]),
        },
        {
            "name": "put-latency",
            "preset": "latency-fraction",
            "args": [
                {"name": "operation", "value": "put"},
                {"name": "thresholdMilliseconds", "value": str(values[f"{_THRESHOLD}.latency_p99_ms"])},
            ],
            "max": "0.01",
            "evidence": {"minimumBadEvents": 20},
        },
        {
            "name": "consistency",
            "preset": "consistency-errors",
            "max": "0",
            "severity": "Critical",
            "evidence": {"minimumSamples": 1000},
        },
    ]


def _sweep(values: Values, notes: list[str]) -> dict[str, Any]:
    sweep: dict[str, Any] = {
        "concurrency": values["migration.migration.concurrency"],
        "objectsPerDay": values["migration.migration.objects_per_day"],
        "percentPerWeek": _PERCENT_PER_WEEK,
        "priority": _PRIORITY[str(values["migration.migration.priority_strategy"])],
    }
    if not values["migration.migration.enabled"]:
        notes.append(
            "migration.migration.enabled: false cannot be said: a migration without its sweep is never "
            "complete; to go no further than the canary, set its approval to Manual"
        )
    if values["migration.consistency_check.enabled"]:
        ppm = Decimal(values["migration.consistency_check.sample_rate"]) * 1_000_000
        if ppm != int(ppm):
            notes.append(
                f"migration.consistency_check.sample_rate: {_text(ppm)} parts per million, cut to {int(ppm)}"
            )
        sweep["sampleCheck"] = {
            "fractionPpm": int(ppm),
            "intervalSeconds": values["migration.consistency_check.interval_seconds"],
        }
    return sweep


def _consistency(values: Values, notes: list[str]) -> dict[str, Any]:
    inline = int(values["metadata.inline_data.threshold_bytes"])
    if inline > INLINE_MOST:
        notes.append(
            f"metadata.inline_data.threshold_bytes: {inline} became {INLINE_MOST}; content of "
            f"{INLINE_MOST + 1} bytes and more always has its own file"
        )
    return {
        "level": str(values["consistency.level"]).capitalize(),
        "windowSeconds": values["consistency.window_seconds"],
        "cache": {
            "capacity": values["metadata.cache.capacity"],
            "ttlSeconds": values["metadata.cache.ttl_seconds"],
            "warmupSize": values["metadata.cache.warmup_size"]
            if values["metadata.cache.enable_warmup"]
            else 0,
        },
        "inlineThresholdBytes": min(inline, INLINE_MOST),
    }


def _of_the_data_plane(values: Values) -> Iterator[str]:
    """What the server decides for itself."""
    for path in _FIXED:
        yield f"{path}: {_text(values[path])} is the server's own choice, and no variable sets it"


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            text = format(value, "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case _:
            return str(value)
