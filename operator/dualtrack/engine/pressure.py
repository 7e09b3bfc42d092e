"""The signals that a sweep can heed: pressure on the machine, latency of the data plane and of the store.

Each is asked for one number and answers None where it cannot say. Pressure is the kernel's `some avg10` of
/proc/pressure (the per cent of the last 10 s in which somebody waited). The data plane's p99, in ms, comes
from what its histograms of GET and PUT have counted since the last look, at the first since its start; where
nothing was counted it is 0: nobody waits. The store's is the slowest commit since the last look, in ms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

PRESSURE = Path("/proc/pressure")
TIMEOUT_SECONDS = 2.0
_MAX_BYTES = 8 * 1024 * 1024
_BUCKET = re.compile(
    r'rustfs_(?:get|put)_object_latency_ms_bucket\{[^}]*le="([^"]+)"[^}]*\}\s+([0-9.eE+]+)', re.ASCII
)
_SOME = re.compile(r"^some avg10=([0-9.]+)", re.MULTILINE)

Signal = Callable[[], float | None]


def pressure(resource: str, directory: Path = PRESSURE) -> Signal:
    """`io`, `cpu` or `memory`; gone where the kernel has no PSI."""

    def read() -> float | None:
        try:
            found = _SOME.search((directory / resource).read_text("ascii"))
        except (OSError, UnicodeDecodeError):
            return None
        return float(found[1]) if found else None

    return read


class DataPlaneP99:
    """The 99th percentile in ms from a data plane's `/metrics`: the upper bound of its bucket."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._before: Mapping[float, float] | None = None

    def __call__(self) -> float | None:
        counted = self._fetch()
        before, self._before = self._before, counted
        if counted is None:
            return None
        return percentile(counted, before or {})

    def _fetch(self) -> Mapping[float, float] | None:
        # Only where a data plane is asked: this loads TLS and more, which every other sweep would wait for.
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(self._url, timeout=TIMEOUT_SECONDS) as answer:
                text = answer.read(_MAX_BYTES).decode("utf-8", "replace")
        except (OSError, urllib.error.URLError, ValueError):
            return None
        return buckets(text)


def buckets(text: str) -> Mapping[float, float] | None:
    """Cumulative counts by upper bound, over all operations and tracks; None where no histogram is."""
    counted: dict[float, float] = {}
    for bound, count in _BUCKET.findall(text):
        counted[float(bound)] = counted.get(float(bound), 0.0) + float(count)
    return counted or None


def percentile(now: Mapping[float, float], before: Mapping[float, float], share: float = 0.99) -> float:
    """Of what was counted between the two; 0 where nothing was. A counter that restarted counts from 0."""
    bounds = sorted(now)
    restarted = any(now[bound] < before.get(bound, 0.0) for bound in bounds)
    counts = [now[bound] - (0.0 if restarted else before.get(bound, 0.0)) for bound in bounds]
    wanted = share * counts[-1]
    if not counts[-1]:
        return 0.0
    return next(bound for bound, count in zip(bounds, counts, strict=True) if count >= wanted)


class Slowest:
    """The slowest of what was timed since the last look, in ms; never gone, since it is our own."""

    def __init__(self) -> None:
        self._ms = 0.0

    def took(self, seconds: float) -> None:
        self._ms = max(self._ms, seconds * 1000)

    def __call__(self) -> float:
        ms, self._ms = self._ms, 0.0
        return ms
