"""The pace file: how fast a sweep may go, which of its buckets come first, and what it gives way to.

    {"objectsPerDay": 100000, "percentPerWeek": 20, "objects": 5000000, "concurrency": 4, "priority": "size",
     "heed": {"ioPressure": [20, 40], "cpuPressure": [50, 80], "p99Ms": [20, 50], "storeMs": [100, 500],
              "metricsURL": "http://127.0.0.1:9000/metrics"}}

All are optional. Of the two quotas the slower counts; `percentPerWeek` is of `objects`, or of what the last
complete sweep counted, and may be over 100, for a sweep of less than a week. At most `concurrency` objects
are read at a time (`batches.py`). A signal under `heed` is heeded, with its zone [low, high] (`throttle.py`);
any other is not. What is unknown or malformed is named and refused: a misspelt limit must not mean "no
limit".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dualtrack.engine.throttle import Zone
from dualtrack.errors import UsageError

SIGNALS = ("ioPressure", "cpuPressure", "p99Ms", "storeMs")
PERCENT_MOST = 1_000_000_000
CONCURRENCY_MOST = 256
_DAYS_PERCENT = 700  # a week's days, per cent


class Priority(StrEnum):
    """Which buckets come first: those read most, the largest, or any order that favours none."""

    ACCESS_FREQUENCY = "access_frequency"
    SIZE = "size"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class PaceFile:
    """`per_day` is infinite where there is no quota."""

    per_day: float = math.inf
    priority: Priority | None = None
    zones: Mapping[str, Zone] = field(default_factory=dict)
    metrics_url: str = ""
    concurrency: int | None = None


def read(path: str, counted: int | None = None) -> PaceFile:
    """`counted`: how many objects the last complete sweep counted. `UsageError` names what is wrong."""
    try:
        with open(path, encoding="utf-8") as file:
            fields = json.load(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"--pace-file {path} cannot be read: {error}") from error
    try:
        return parse(fields, counted)
    except UsageError as error:
        raise UsageError(f"--pace-file {path}: {error}") from error


def parse(fields: Any, counted: int | None) -> PaceFile:
    known = {"objectsPerDay", "percentPerWeek", "objects", "concurrency", "priority", "heed"}
    _only(fields, known, "the file")
    per_day = float(_number(fields, "objectsPerDay") or math.inf)
    percent = _number(fields, "percentPerWeek", most=PERCENT_MOST)
    if percent is not None:
        objects = _number(fields, "objects") or counted
        if not objects:
            raise UsageError(
                'percentPerWeek needs to know of how many: write "objects", as `inventory` counts them'
            )
        per_day = min(per_day, max(1.0, objects * percent / _DAYS_PERCENT))
    heed = fields.get("heed") or {}
    _only(heed, {*SIGNALS, "metricsURL"}, "heed")
    zones = {name: _zone(name, heed[name]) for name in SIGNALS if name in heed}
    concurrency = _number(fields, "concurrency", most=CONCURRENCY_MOST)
    return PaceFile(per_day, _priority(fields.get("priority")), zones, _url(heed, zones), concurrency)


def _only(fields: Any, known: set[str], where: str) -> None:
    if not isinstance(fields, dict):
        raise UsageError(f"{where} must be a JSON object")
    if unknown := sorted(set(fields) - known):
        raise UsageError(f"{where} has {unknown[0]!r}, which is none of {', '.join(sorted(known))}")


def _number(fields: Mapping[str, Any], name: str, most: int | None = None) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most and value > most):
        limit = f"from 1 to {most}" if most else "above 0"
        raise UsageError(f"{name} is {value!r}; write a whole number {limit}")
    return value


def _zone(name: str, value: Any) -> Zone:
    match value:
        case [int() | float() as low, int() | float() as high] if 0 <= low < high:
            return Zone(float(low), float(high))
    raise UsageError(f"heed.{name} is {value!r}; write [low, high] with 0 ≤ low < high")


def _priority(value: Any) -> Priority | None:
    if value is None:
        return None
    if value not in tuple(Priority):
        raise UsageError(f"priority is {value!r}; use {', '.join(Priority)}")
    return Priority(value)


def _url(heed: Mapping[str, Any], zones: Mapping[str, Zone]) -> str:
    url = heed.get("metricsURL", "")
    if not isinstance(url, str) or (url and not url.startswith(("http://", "https://"))):
        raise UsageError(f"heed.metricsURL is {url!r}; write the http(s) address of a data plane's /metrics")
    if "p99Ms" in zones and not url:
        raise UsageError("heed.p99Ms needs heed.metricsURL")
    return url
