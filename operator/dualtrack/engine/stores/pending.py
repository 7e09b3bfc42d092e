"""A write transaction over a backend that takes its changes at the end, all at once.

Keeps them until then, and answers single reads from them, so that a later batch of a group sees the earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dualtrack.engine.stores.transaction import Transaction


class Pending:
    """A `WriteTransaction`. `iterate` shows what was there before it began."""

    def __init__(self, before: Transaction) -> None:
        self._before = before
        self.changes: dict[tuple[str, bytes], bytes | None] = {}
        """What is to be written; None deletes."""

    def get(self, table: str, key: bytes) -> bytes | None:
        place = table, key
        return self.changes[place] if place in self.changes else self._before.get(table, key)

    def get_many(self, table: str, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        wanted = set(keys)
        changed = {key: self.changes[table, key] for key in wanted if (table, key) in self.changes}
        found = dict(self._before.get_many(table, sorted(wanted - changed.keys())))
        found.update((key, value) for key, value in changed.items() if value is not None)
        return found

    def iterate(self, table: str, start: bytes, *, inclusive: bool) -> Iterator[tuple[bytes, bytes]]:
        return self._before.iterate(table, start, inclusive=inclusive)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self.changes[table, key] = value

    def put_many(self, table: str, items: list[tuple[bytes, bytes]]) -> None:
        self.changes.update(((table, key), value) for key, value in items)

    def delete(self, table: str, key: bytes) -> None:
        self.changes[table, key] = None
