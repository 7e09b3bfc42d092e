"""The measurements that a gate can ask for, as selectors of raw counters.

Everything judges the new track alone (`track=~"dual|kv"`): at 5 % an error rate over all requests is diluted
twentyfold. Series are selected by namespace and by the names that a Deployment gives its pods, so that pods
that are gone still count. Two presets read the pods themselves and need no Prometheus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from dualtrack.api.gates import ARG_OPERATION, ARG_THRESHOLD, FRACTION_PRESETS, Gate, Preset

_NEW_TRACK: Final = 'track=~"dual|kv"'
_OPERATIONS: Final = {
    "put": "rustfs_put_object",
    "get": "rustfs_get_object",
    "delete": "rustfs_delete_object",
    "list": "rustfs_list_objects",
}
_ALL: Final = "rustfs_(put_object|get_object|delete_object|list_objects)"
INFO_METRIC: Final = "rustfs_dual_track_info"


@dataclass(frozen=True, slots=True)
class Measure:
    """Selectors by part. `bad` and `total`, or `within` and `total` where bad is what is not within."""

    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_prometheus(self) -> bool:
        return bool(self.parts)


def measure(gate: Gate, namespace: str, target: str) -> Measure:
    """What to ask Prometheus for this gate; nothing for the presets that read pods."""
    who = selector(namespace, target)
    match gate.preset:
        case Preset.ERROR_RATE:
            return Measure(
                {
                    "bad": f'{{__name__=~"{_ALL}_errors_total",{_NEW_TRACK},{who}}}',
                    "total": f'{{__name__=~"{_ALL}_total",{_NEW_TRACK},{who}}}',
                }
            )
        case Preset.LATENCY_FRACTION:
            metric = latency_metric(gate)
            bucket = f'{metric}_bucket{{le=~"{_le(threshold(gate))}",{_NEW_TRACK},{who}}}'
            return Measure({"within": bucket, "total": f"{metric}_count{{{_NEW_TRACK},{who}}}"})
        case Preset.CONSISTENCY_ERRORS:
            return Measure(
                {
                    "bad": f"rustfs_consistency_errors_total{{{who}}}",
                    "total": f"rustfs_consistency_checks_total{{{who}}}",
                }
            )
        case Preset.CONTAINER_RESTARTS | Preset.READY_FRACTION:
            return Measure()


def is_fraction(gate: Gate) -> bool:
    """Judged as bad of samples; otherwise as a count of bad."""
    return gate.preset in FRACTION_PRESETS


def latency_metric(gate: Gate) -> str:
    return f"{_OPERATIONS[gate.argument(ARG_OPERATION) or 'put']}_latency_ms"


def threshold(gate: Gate) -> Decimal:
    return Decimal(gate.argument(ARG_THRESHOLD) or "0")


def buckets(gate: Gate, namespace: str, target: str) -> str:
    """All buckets of a latency gate's histogram, for the preflight."""
    return f"{latency_metric(gate)}_bucket{{{selector(namespace, target)}}}"


def info(namespace: str, target: str) -> str:
    return f"{INFO_METRIC}{{{selector(namespace, target)}}}"


def selector(namespace: str, target: str) -> str:
    """A Deployment's pods: its name, the template's hash, five characters."""
    pod = re.escape(target).replace("\\-", "-").replace("\\", "\\\\")
    return f'namespace="{namespace}",pod=~"{pod}-[a-z0-9]{{1,10}}-[a-z0-9]{{5}}"'


def _le(bound: Decimal) -> str:
    """100 as clients write it: `100` or `100.0`."""
    text = format(bound.normalize(), "f").replace(".", "\\\\.")
    return text + "0*" if "." in text else text + "(\\\\.0+)?"
