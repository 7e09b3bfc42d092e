"""How fast a sweep goes: so many objects a day, and less where it would be in somebody's way.

The quota is a token bucket whose level is kept in the store and changes with each batch, so a Job that is
killed and started again gains nothing by it. It holds at most a minute's worth: unused hours and days are not
saved up. Within a process time is the monotonic clock's, so that no step of the wall clock gives or takes
anything; over a restart it is the wall clock's, in seconds since 1970, which knows no summer time.

The file (`pacefile.py`) is read again each minute, so that the pace of a running sweep can be changed. One
that cannot be read keeps the pace as it is; where there never was a readable one, the sweep does not start.
For what the signals say see `throttle.py`. Seconds that were waited are counted by their reason.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from dualtrack.engine import pacefile
from dualtrack.engine.pacefile import PaceFile
from dualtrack.engine.pressure import DataPlaneP99, Signal, Slowest, pressure
from dualtrack.engine.throttle import Throttle
from dualtrack.errors import UsageError

META = "pace"
REREAD_SECONDS = 60.0
LOOK_SECONDS = 2.0
QUOTA = "quota"
_DAY = 86_400.0
_SAVED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Level:
    """`tokens` may be below 0: what a batch took in advance."""

    tokens: float
    at: float

    def pack(self) -> bytes:
        return json.dumps({"tokens": self.tokens, "at": self.at}).encode()

    @classmethod
    def unpack(cls, data: bytes | None, now: float) -> Level:
        if data is None:
            return cls(0.0, now)
        fields = json.loads(data)
        return cls(float(fields["tokens"]), float(fields["at"]))

    def taken(self, count: int, per_day: float, now: float) -> Level:
        """After `count` objects. A clock that went back gives nothing and takes nothing."""
        rate = per_day / _DAY
        gained = max(0.0, now - self.at) * rate
        return Level(min(self.tokens + gained, rate * _SAVED_SECONDS) - count, now)

    def wait(self, per_day: float) -> float:
        """Seconds until the next object may be read."""
        return 0.0 if math.isinf(per_day) else max(0.0, -self.tokens / (per_day / _DAY))


class Pace:
    """`take` accounts for a batch, `wait` says how long to wait before the next one.

    `wall` is seconds since 1970, `clock` monotonic. `counted` is what the last complete sweep counted.
    """

    def __init__(
        self,
        path: str | None,
        stored: bytes | None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        *,
        counted: int | None = None,
        signals: Callable[[PaceFile, Slowest], Mapping[str, Signal]] | None = None,
    ) -> None:
        self._path = path
        self._counted = counted
        self._clock = clock
        self._anchor = wall() - clock()
        self._slowest = Slowest()
        self._signals_of = signals or signals_of
        self.file = pacefile.read(path, counted) if path else PaceFile()
        self._signals = self._signals_of(self.file, self._slowest)
        self._read_at = self._worked_from = clock()
        self._looked_at = -math.inf
        self._level = Level.unpack(stored, self._now())
        self._throttle = Throttle()
        self._rest_until = -math.inf
        self._batch = 0
        self._waiting: tuple[float, tuple[str, ...]] | None = None
        self.waited: dict[str, float] = {}

    def _now(self) -> float:
        """The wall clock as it was when we began, moved on by the monotonic one."""
        return self._anchor + self._clock()

    def take(self, count: int) -> dict[str, bytes]:
        """Account for a batch; what to store with it."""
        self._batch += count
        if math.isinf(self.file.per_day):
            return {}
        self._level = self._level.taken(count, self.file.per_day, self._now())
        return {META: self._level.pack()}

    def store_took(self, seconds: float) -> None:
        """How long the store needed for a batch."""
        self._slowest.took(seconds)

    def wait(self) -> float:
        """Seconds to wait before the next batch, as things stand now."""
        now = self._clock()
        self._account(now)
        self._read_again(now)
        self._look(now)
        if self._batch:
            self._rest_until = now + self._throttle.rest(now - self._worked_from, self._batch)
            self._batch = 0
        quota = 0.0
        if not math.isinf(self.file.per_day):
            quota = self._level.taken(0, self.file.per_day, self._now()).wait(self.file.per_day)
        rest = max(0.0, self._rest_until - now)
        wait = max(quota, rest)
        if wait > 0:
            self._waiting = now, (QUOTA,) if quota >= rest else self._throttle.reasons
        else:
            self._worked_from = now
        return wait

    def _account(self, now: float) -> None:
        """Book the time since the last answer that said to wait."""
        if self._waiting is not None:
            since, reasons = self._waiting
            for reason in reasons:
                self.waited[reason] = self.waited.get(reason, 0.0) + now - since
            self._waiting = None

    def _read_again(self, now: float) -> None:
        if self._path and now - self._read_at >= REREAD_SECONDS:
            self._read_at = now
            with suppress(UsageError):  # half-written, or being mounted anew: the old pace holds
                found = pacefile.read(self._path, self._counted)
                if found != self.file:
                    self.file = found
                    self._signals = self._signals_of(found, self._slowest)

    def _look(self, now: float) -> None:
        if not self.file.zones:
            self._throttle, self._rest_until = Throttle(), -math.inf
        elif now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            readings = {name: self._signals[name]() for name in self.file.zones}
            was_blind = bool(self._throttle.blind)
            self._throttle = self._throttle.next(readings, self.file.zones)
            if was_blind and not self._throttle.blind:
                self._rest_until = min(self._rest_until, now)

    @property
    def free(self) -> bool:
        """Whether nothing bounds the sweep now."""
        return not self.file.zones and math.isinf(self.file.per_day)

    @property
    def unbounded(self) -> bool:
        """Whether nobody can ask this sweep to wait."""
        return self._path is None

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Why the sweep waits now; empty while it works."""
        return self._waiting[1] if self._waiting is not None else ()


def signals_of(file: PaceFile, slowest: Slowest) -> Mapping[str, Signal]:
    """Where each signal comes from."""
    return {
        "ioPressure": pressure("io"),
        "cpuPressure": pressure("cpu"),
        "p99Ms": DataPlaneP99(file.metrics_url),
        "storeMs": slowest,
    }
