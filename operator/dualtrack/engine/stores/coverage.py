"""What of a table's order has been read from end to end, so that nothing can lie there that was not met.

A scan that meets one key right behind the other has seen that there is nothing between them. The stretches
that were met so, each up to the key behind its last one, join where they touch; what remains are the gaps
between them, and only these have to be read to find what nobody expected.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from dualtrack.engine.stores.protocol import Entries
from dualtrack.engine.stores.transaction import Columnar

END = b"\xff" * 256
"""Behind every key: a bucket's name is at most 255 bytes long, and a NUL follows it."""
MOST = 10_000
"""Stretches that are kept; a drive whose order falls into more is read a second time where they end."""
_SHORT, _PATIENCE = 16, 8
"""A run of fewer rows costs more by a scan than its rows do one by one; and how many of these are borne."""


class Stretch(NamedTuple):
    """`length` keys from `first` on, and before `next` nothing else."""

    first: bytes
    next: bytes
    length: int


@dataclass(slots=True)
class Covered:
    """Of one table. `twice`: something was met a second time, so that it is not known any more what was
    met."""

    count: int = 0
    twice: bool = False
    _starts: list[bytes] = field(default_factory=list)
    _ends: list[bytes] = field(default_factory=list)

    def take(self, stretches: Sequence[Stretch] | None) -> bool:
        """Note them, all or none; there are none where the table was not read in order."""
        if stretches is None or len(self._starts) + len(stretches) > MOST:
            return False
        for each in stretches:
            self._add(each)
        return True

    def _add(self, new: Stretch) -> None:
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, new.first)
        if (at and ends[at - 1] > new.first) or (at < len(starts) and starts[at] < new.next):
            self.twice = True
            return
        self.count += new.length
        before, behind = at > 0 and ends[at - 1] == new.first, at < len(starts) and starts[at] == new.next
        match before, behind:
            case True, True:
                ends[at - 1] = ends.pop(at)
                del starts[at]
            case True, False:
                ends[at - 1] = new.next
            case False, True:
                starts[at] = new.first
            case _:
                starts.insert(at, new.first)
                ends.insert(at, new.next)

    def gaps(self) -> Iterator[tuple[bytes, bytes]]:
        """Where something may lie that was not met: from the one key on, before the other."""
        for start, end in zip([b"", *self._ends], [*self._starts, END], strict=True):
            if start < end:
                yield start, end


@dataclass(slots=True)
class Coverage:
    """Of a store's rows and index. `before` is what the store counted when the reading began."""

    before: Entries
    rows: Covered = field(default_factory=Covered)
    entries: Covered = field(default_factory=Covered)

    @property
    def twice(self) -> bool:
        return self.rows.twice or self.entries.twice


@dataclass(frozen=True, slots=True)
class Alongside:
    """A table's values under the keys that were asked for, an empty one where there is none; and the
    stretches in which those that are there lie, with nothing else between them. None where the table was not
    read in order.
    """

    values: list[bytes]
    stretches: list[Stretch] | None


def alongside(txn: Columnar, table: str, fulls: Sequence[bytes]) -> Alongside | None:
    """What the table has under these keys, read in its own order wherever they come in it. None where they do
    not: their values are better asked for one by one.
    """
    values: list[bytes] = []
    stretches: list[Stretch] = []
    at, ask, short = 0, len(fulls), 0
    while at < len(fulls):
        names = txn.names(table, fulls[at], ask + 1, inclusive=True)
        same = _agreement(names, fulls, at, ask)
        if same < min(ask, _SHORT):
            short += 1
        if short > _PATIENCE:
            return None
        if same:
            behind = names[same] if len(names) > same else END
            values += txn.values(table, fulls[at], same)
            stretches.append(Stretch(fulls[at], behind, same))
        else:
            values.append(b"")
        at += same or 1
        ask = min(max(2 * same, _SHORT), len(fulls) - at)
    return Alongside(values, stretches)


def _agreement(names: Sequence[bytes], fulls: Sequence[bytes], at: int, most: int) -> int:
    """How many of the names, `most` at most, are those that were asked for from `at` on."""
    most = min(most, len(names), len(fulls) - at)
    if names[:most] == fulls[at : at + most]:
        return most
    pairs = enumerate(zip(names, islice(fulls, at, None), strict=False))
    return next(number for number, (name, full) in pairs if name != full)
