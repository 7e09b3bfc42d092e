"""Rows that were read lately, in memory, and never a stale one.

An entry is good while nothing has been committed in its key's stripe since before it was read: each stripe
counts the commits that have begun and those that have ended, and an entry holds the count of its moment.
While a commit is under way in the stripe nothing is served from here and nothing put in, because until it
ends nobody can say which of two rows a reader saw first. Entries also end by age, by number and by bytes; the
one that was used least lately goes first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from dualtrack.engine.mode import share
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.protocol import Place

STRIPES = 1024
MANY = 256
"""Keys of one commit from which on it counts for all stripes: looking up each one's would cost more."""
_OVERHEAD = 600
"""Bytes of an entry beside its row's data, about."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """`capacity` 0 switches it off. `warmup` is how many keys are read at the start: those used last."""

    capacity: int = 10_000
    ttl_seconds: float = 3_600.0
    warmup: int = 1_000
    max_bytes: int = 64 * 1024 * 1024


class Commits:
    """Which stripes have seen commits, as counts of those begun and those ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = [0] * (STRIPES + 1)
        self._ended = [0] * (STRIPES + 1)

    def begin(self, places: Iterable[Place]) -> tuple[int, ...]:
        """Before a commit of these keys is handed over; its stripes are what `end` wants."""
        keys = list(places)
        stripes = (STRIPES,) if len(keys) > MANY else tuple({_stripe(place) for place in keys})
        with self._lock:
            for stripe in stripes:
                self._begun[stripe] += 1
        return stripes

    def end(self, stripes: Iterable[int]) -> None:
        """Once it is known how the commit ended."""
        with self._lock:
            for stripe in stripes:
                self._ended[stripe] += 1

    def now(self, place: Place) -> tuple[int, int] | None:
        """The state of a key's stripe; None while a commit is under way in it."""
        stripe = _stripe(place)
        # What ended is read first: a commit that begins in between is seen as one under way.
        ended = self._ended[stripe], self._ended[STRIPES]
        begun = self._begun[stripe], self._begun[STRIPES]
        return begun if begun == ended else None


def _stripe(place: Place) -> int:
    return share(*place) % STRIPES


@dataclass(frozen=True, slots=True)
class _Entry:
    row: Row
    state: tuple[int, int]
    until: float
    size: int


class RowCache:
    """Thread-safe."""

    def __init__(
        self, settings: CacheSettings, commits: Commits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._commits = commits
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Place, _Entry] = OrderedDict()
        self._bytes = 0

    def get(self, place: Place) -> Row | None:
        """The row, if it is here and good. Every row that was committed before the call is seen."""
        with self._lock:
            entry = self._entries.get(place)
            if entry is None:
                return None
            if entry.state != self._commits.now(place) or self._clock() >= entry.until:
                self._drop(place)
                return None
            self._entries.move_to_end(place)
            return entry.row

    def state(self, place: Place) -> tuple[int, int] | None:
        """What `put` wants; to be taken before the row is read from the store."""
        return self._commits.now(place)

    def put(self, place: Place, row: Row, state: tuple[int, int] | None) -> None:
        size = len(row.data) + len(row.key) + _OVERHEAD
        if state is None or size * 16 > self._settings.max_bytes:
            return
        with self._lock:
            if state != self._commits.now(place):
                return
            self._drop(place)
            self._entries[place] = _Entry(row, state, self._clock() + self._settings.ttl_seconds, size)
            self._bytes += size
            while len(self._entries) > self._settings.capacity or self._bytes > self._settings.max_bytes:
                self._drop(next(iter(self._entries)))

    def _drop(self, place: Place) -> None:
        entry = self._entries.pop(place, None)
        if entry is not None:
            self._bytes -= entry.size

    def latest(self, limit: int) -> list[Place]:
        """The keys used last, the latest first."""
        with self._lock:
            return list(islice(reversed(self._entries), limit))

    def sizes(self) -> tuple[int, int]:
        """Entries and bytes."""
        with self._lock:
            return len(self._entries), self._bytes
