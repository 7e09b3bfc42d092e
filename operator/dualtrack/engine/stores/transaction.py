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

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

ROWS = "rows"
INDEX = "index"
META = "meta"
TABLES = (ROWS, INDEX, META)


class Transaction(Protocol):
    def get(self, table: str, key: bytes) -> bytes | None: ...

    def get_many(self, table: str, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Those that are there."""

    def iterate(self, table: str, start: bytes, *, inclusive: bool) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) from `start` on, in order; of what was committed before the transaction began."""


class WriteTransaction(Transaction, Protocol):
    def put(self, table: str, key: bytes, value: bytes) -> None: ...

    def put_many(self, table: str, items: list[tuple[bytes, bytes]]) -> None:
        """Pairs in ascending order of their keys."""

    def delete(self, table: str, key: bytes) -> None: ...
