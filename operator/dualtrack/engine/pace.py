"""How many objects a day a sweep may read: a token bucket that survives restarts.

The bucket's level is kept in the store and changes with each batch, so a Job that is killed and started again
gains nothing by it. It holds at most a minute's worth: unused hours and days are not saved up. Its file is
read again each minute, so that the pace of a running sweep can be changed; a file that cannot be read keeps
the pace as it is, and where there never was a readable one, the sweep does not start.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dualtrack.errors import UsageError

META = "pace"
REREAD_SECONDS = 60.0
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
    """`wall` is seconds since 1970, by which the level is kept over restarts."""

    def __init__(self, path: str | None, stored: bytes | None, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        self._read_at = wall()
        self._per_day = read(path) if path else math.inf
        self._level = Level.unpack(stored, wall())

    def take(self, count: int) -> dict[str, bytes]:
        """Account for a batch; what to store with it."""
        if math.isinf(self._per_day):
            return {}
        self._level = self._level.taken(count, self._per_day, self._wall())
        return {META: self._level.pack()}

    def wait(self) -> float:
        """Seconds to wait before the next batch, as things stand now."""
        now = self._wall()
        if self._path and now - self._read_at >= REREAD_SECONDS:
            self._read_at = now
            with suppress(UsageError):  # half-written, or being mounted anew: the old pace holds
                self._per_day = read(self._path)
        if math.isinf(self._per_day):
            return 0.0
        return self._level.taken(0, self._per_day, now).wait(self._per_day)


def read(path: str) -> float:
    """Objects a day; infinite where the file sets none."""
    try:
        with open(path, encoding="utf-8") as file:
            fields = json.load(file)
        per_day = fields.get("objectsPerDay")
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"--pace-file {path} cannot be read: {error}") from error
    if per_day is None:
        return math.inf
    if not isinstance(per_day, int) or isinstance(per_day, bool) or per_day < 1:
        raise UsageError(f"--pace-file {path}: objectsPerDay is {per_day!r}; write a whole number above 0")
    return float(per_day)
