"""Stripe locks: one of 1,024 locks for each object, held through every read-modify-write of it.

A fixed number of locks costs no memory per object; two objects on one stripe only wait for each other.
Several stripes are taken in their order, so that two callers never hold what the other one needs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from dualtrack.engine.mode import share
from dualtrack.engine.stores.protocol import Place

STRIPES = 1024


class Stripes:
    def __init__(self) -> None:
        self._locks = [threading.Lock() for _ in range(STRIPES)]

    @contextmanager
    def locked(self, places: Iterable[Place], timeout: float = -1) -> Iterator[None]:
        """Hold the stripes of these keys. `TimeoutError` if one is not free within `timeout` seconds.

        Not reentrant: whoever holds a stripe does not ask for it again.
        """
        held: list[threading.Lock] = []
        try:
            for number in sorted({share(*each) % STRIPES for each in places}):
                if not self._locks[number].acquire(timeout=timeout):
                    raise TimeoutError("the keys stay locked by somebody else")
                held.append(self._locks[number])
            yield
        finally:
            for lock in held:
                lock.release()
