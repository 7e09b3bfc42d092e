"""What a transaction changes, written down while it is made: the seam between a store and a log of its rows.

A store that has a `ChangeLog` hands it the changes of each transaction before that transaction is committed
(`writing.py`), so that the log never lacks what the store has; at most it has one transaction more, which
nobody was told of. Changes are those of the ordered tables (`transaction.py`), not of a backend's pages: they
can be laid over a copy of the store whatever it is kept in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from dualtrack.engine.stores.transaction import WriteTransaction

POSITION = "rowlog_at"
"""Meta value: how far into its log a store is. Written with each change, and no change itself."""

Change = tuple[str, bytes, bytes | None]
"""(table, key, value); None deletes."""


class ChangeLog(Protocol):
    def append(self, changes: Sequence[Change], term: int) -> bytes:
        """Write one transaction down; returns the store's new position. `StoreError` if that cannot be done:
        the transaction must not be committed then."""

    def failed(self, *, rolled_back: bool) -> None:
        """What was appended last was not committed; or, unless `rolled_back`, nobody knows."""


class Recording:
    """A `WriteTransaction` that keeps a list of its changes."""

    __slots__ = ("_txn", "changes")

    def __init__(self, txn: WriteTransaction) -> None:
        self._txn = txn
        self.changes: list[Change] = []

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._txn.get(table, key)

    def get_many(self, table: str, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        return self._txn.get_many(table, keys)

    def iterate(self, table: str, start: bytes, *, inclusive: bool) -> Iterator[tuple[bytes, bytes]]:
        return self._txn.iterate(table, start, inclusive=inclusive)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._txn.put(table, key, value)
        self.changes.append((table, key, value))

    def put_many(self, table: str, items: list[tuple[bytes, bytes]]) -> None:
        self._txn.put_many(table, items)
        self.changes += [(table, key, value) for key, value in items]

    def delete(self, table: str, key: bytes) -> None:
        self._txn.delete(table, key)
        self.changes.append((table, key, None))
