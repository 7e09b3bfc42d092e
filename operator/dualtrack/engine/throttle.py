"""How much of the time a sweep may work beside others: a pure controller, values in, share out.

Additive increase, multiplicative decrease, as in TCP: while every signal is below its zone the share grows by
a twentieth a step, inside the zone it stays, above it is halved. A signal that one was told to heed and that
is gone is not a good one: then a fixed small budget is all there is, until it is back, and the share begins
again from the least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LEAST = 1 / 64
STEP = 0.05
TRICKLE_PER_SECOND = 10.0
"""Objects a second that are read blindly, while nobody knows how the drive is."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Below `low` there is room, above `high` too much; between the two it is as it should be."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Throttle:
    """`share` of the time is for work. `reasons` name the signals that keep it down; `blind` those gone."""

    share: float = 1.0
    reasons: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()

    def next(self, readings: Mapping[str, float | None], zones: Mapping[str, Zone]) -> Throttle:
        """After one look at the signals that are to be heeded (`zones`); None is a signal that is gone."""
        found = {name: readings.get(name) for name in zones}
        blind = tuple(name for name, value in found.items() if value is None)
        if blind:
            return Throttle(LEAST, blind, blind)
        values = {name: value for name, value in found.items() if value is not None}
        high = tuple(name for name, value in values.items() if value > zones[name].high)
        if high:
            return Throttle(max(LEAST, self.share / 2), high)
        if all(value < zones[name].low for name, value in values.items()):
            share = min(1.0, self.share + STEP)
            return Throttle(share, self.reasons if share < 1.0 else ())
        return Throttle(self.share, self.reasons if self.share < 1.0 else ())

    def rest(self, work: float, objects: int) -> float:
        """Seconds to rest after `work` seconds in which `objects` were read."""
        if self.blind:
            return objects / TRICKLE_PER_SECOND
        return work * (1 / self.share - 1)
