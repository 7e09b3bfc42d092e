"""What a backend has to offer: three ordered tables of byte keys, read and changed in transactions.

Everything that makes a store of them (envelopes, compare-and-set, fences, counters, index) is said once, in
`reading.py`, `writing.py` and `decide.py`, so that the backends cannot drift apart. A backend promises:

- keys of any length that a drive can have, in the order of their bytes;
- `iterate` raises where it cannot go on; it never ends early as if there were no more;
- what several calls of one read transaction `iterate` is of one moment;
- a write transaction sees its own changes in `get` and `get_many`, and is durable when it has ended, or has
  left no trace.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from typing import Protocol, runtime_checkable

ROWS = "rows"
INDEX = "index"
META = "meta"
TABLES = (ROWS, INDEX, META)
_PART = 32, 1_024
"""Keys that are read, at first and at most, before it is asked whether they still lie within what is
wanted."""


class Transaction(Protocol):
    def get(self, table: str, key: bytes) -> bytes | None: ...

    def get_many(self, table: str, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Those that are there."""

    def iterate(self, table: str, start: bytes, *, inclusive: bool) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) from `start` on, in order; of what was committed before the transaction began."""


@runtime_checkable
class Columnar(Protocol):
    """A transaction that gives keys and values each by themselves: a value is read only where its key is
    wanted, and no pair is made of the two.
    """

    def names(self, table: str, start: bytes, limit: int, *, inclusive: bool) -> list[bytes]:
        """The keys from `start` on, in order, at most `limit`. Fewer = the table ends there."""

    def values(self, table: str, first: bytes, count: int) -> list[bytes]:
        """The values of `count` keys, `first`, which is there, and those that follow it."""


def columns(
    txn: Transaction, table: str, start: bytes, limit: int, *, inclusive: bool, within: bytes
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Keys that begin with `within`, from `start` on, at most `limit`, in order; and their values. They come
    in parts, so that whoever makes something of a part finds it in the processor's cache, in memory that the
    part before has just left: a page of 10,000 at once takes a fifth more time, most of it in page faults.
    """
    if not isinstance(txn, Columnar):
        entries = islice(txn.iterate(table, start, inclusive=inclusive), max(limit, 0))
        wanted = takewhile(lambda entry: entry[0].startswith(within), entries)
        while found := list(islice(wanted, _PART[1])):
            yield [key for key, _ in found], [value for _, value in found]
        return
    ahead = _PART[0]
    while names := txn.names(table, start, min(limit, ahead), inclusive=inclusive):
        start, inclusive = names[-1], False
        ends = not start.startswith(within)
        if ends:
            del names[bisect_left(names, True, key=lambda name: not name.startswith(within)) :]
        if names:
            yield names, txn.values(table, names[0], len(names))
        if ends:
            return
        limit -= len(names)
        ahead = min(2 * ahead, _PART[1])


class WriteTransaction(Transaction, Protocol):
    def put(self, table: str, key: bytes, value: bytes) -> None: ...

    def put_many(self, table: str, items: list[tuple[bytes, bytes]]) -> None:
        """Pairs in ascending order of their keys."""

    def delete(self, table: str, key: bytes) -> None: ...
