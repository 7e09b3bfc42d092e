"""A log laid over a store: records after its position, in order, several in one transaction.

Changes are values under keys, so doing one again changes nothing, and a store that is an older copy comes out
as the one that was logged: rows that were written while the copy was taken are in the log, too, and its
counters are set to what they were after the last record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from dualtrack.engine.rowlog import records
from dualtrack.engine.rowlog.records import Position
from dualtrack.engine.rowlog.segments import Reading, Record
from dualtrack.engine.stores.recording import Change
from dualtrack.errors import IncompleteError

_BYTES = 16 << 20
_RECORDS = 1_000


class Replayable(Protocol):
    def replay(self, changes: Iterator[Change], position: Callable[[int], bytes | None]) -> None:
        """Make these changes, and note the position in the term that they leave, in one durable
        transaction.
        """


@dataclass(frozen=True, slots=True)
class Replayed:
    """`reading` knows where the log ends."""

    reading: Reading
    applied: int


def replay(
    store: Replayable,
    folder: str,
    at: Position,
    *,
    dry_run: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Replayed:
    """Bring a store from `at` to the end of its log, once the whole of it has been read and is sound.
    `LogGapError`, `StoreCorruptError`: see `segments.py`; nothing was changed then. `stop` ends it between
    two transactions with `IncompleteError`.
    """
    reading = Reading(folder, at)
    found = 0
    for group in _groups(reading):
        _ask(stop)
        found += len(group)
    if dry_run or not found:
        return Replayed(reading, found)
    for group in _groups(Reading(folder, at)):
        _ask(stop)
        store.replay(_changes(group), partial(_position, at.log, group[-1]))
    return Replayed(reading, found)


def _ask(stop: Callable[[], bool]) -> None:
    if stop():
        raise IncompleteError("interrupted")


def _position(log: str, last: Record, term: int) -> bytes:
    return Position(log, last.seq, last.chain.hex(), term).pack()


def _groups(reading: Reading) -> Iterator[list[Record]]:
    group: list[Record] = []
    size = 0
    for record in reading:
        group.append(record)
        size += len(record.body)
        if size > _BYTES or len(group) >= _RECORDS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _changes(group: list[Record]) -> Iterator[Change]:
    for record in group:
        yield from records.unpack_changes(record.body)
