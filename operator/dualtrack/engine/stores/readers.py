"""Readers of an LMDB store, and what the oldest of them costs.

A page that was replaced is free once no reader may still see it. A process that is killed inside a read
transaction leaves its entry in the table of readers, and from then on no page is ever free: the file grows
with every write, and does not shrink again. The owner's own readers end with their page of a scan; those of
other programs (`mdb_copy`, a backup) are theirs to end. So the entries of the dead are cleared, before the
first write and then once a minute of writing, since nothing grows without writes; the living are measured
and, when they fall far behind, named.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

CHECK_SECONDS = 60.0
FAR_BEHIND = 10_000
"""Transactions. A reader that is older keeps at least as many replaced pages as it is transactions behind."""
_log = logging.getLogger(__name__)


class Environment(Protocol):
    """The part of `lmdb.Environment` that tells of readers."""

    def reader_check(self) -> int: ...

    def readers(self) -> str: ...

    def info(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Readers:
    """`behind`: how many transactions have been committed since the oldest reader under way began; `oldest`
    is its process. `cleared`: how many entries of dead processes were taken out since the store was opened.
    """

    behind: int = 0
    oldest: int = 0
    cleared: int = 0


class ReaderTable:
    """Thread-safe. `clock` tells seconds that only rise."""

    def __init__(self, env: Environment, name: str, clock: Callable[[], float]) -> None:
        self._env = env
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._cleared = 0
        self._checked = float("-inf")

    def check(self) -> None:
        """Clear the dead, unless that was done within the last minute."""
        now = self._clock()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        self.clear()
        found = self.now()
        if found.behind > FAR_BEHIND:
            _log.warning(
                "store=%s reader pid=%d behind=%d: it keeps every page that was replaced since, and the "
                "store grows until it ends",
                *(self._name, found.oldest, found.behind),
            )

    def clear(self) -> None:
        """Clear the dead now."""
        with self._lock:
            dead = self._env.reader_check()
            self._cleared += dead
        if dead:
            _log.warning(
                "store=%s stale_readers=%d: cleared; their processes ended while reading", self._name, dead
            )

    def now(self) -> Readers:
        oldest = min(parse(self._env.readers()), default=None)
        if oldest is None:
            return Readers(cleared=self._cleared)
        behind = max(0, int(self._env.info()["last_txnid"]) - oldest[0])
        return Readers(behind, oldest[1], self._cleared)


def parse(text: str) -> list[tuple[int, int]]:
    """(transaction, process) of each reader under way, from LMDB's table: a headline, then `pid thread
    txnid`; a txnid of `-` is an entry that reads nothing now.
    """
    fields = [line.split() for line in text.splitlines()[1:]]
    return [(int(txnid), int(pid)) for pid, _, txnid in fields if txnid != "-"]
