"""An ordered table of full keys of any length, over the two LMDB tables that `keys.py` describes.

Knows branches and children, not what the values mean. Every function takes the transaction it works in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, Protocol

from dualtrack.engine.stores import keys
from dualtrack.errors import StoreError

_PART = 512
_KEY = itemgetter(0)


class Cursor(Protocol):
    def set_range(self, key: bytes) -> bool: ...
    def next(self) -> bool: ...
    def key(self) -> Any: ...
    def iternext(self, keys: bool = ..., values: bool = ...) -> Iterator[Any]: ...
    def getmulti(self, keys: list[bytes]) -> Any: ...
    def putmulti(self, items: list[tuple[bytes, bytes]]) -> Any: ...


class LmdbTransaction(Protocol):
    def get(self, key: bytes, default: Any = ..., *, db: Any = ...) -> Any: ...
    def put(self, key: bytes, value: bytes, *, db: Any = ...) -> bool: ...
    def delete(self, key: bytes, value: bytes = ..., db: Any = ...) -> bool: ...
    def cursor(self, db: Any = ...) -> Any: ...


@dataclass(frozen=True, slots=True)
class Table:
    main: Any
    long: Any
    """None where keys are names that this build chose, all of them short."""

    def get(self, txn: LmdbTransaction, full: bytes) -> bytes | None:
        if len(full) <= keys.ROOT_SEGMENT:
            value: bytes | None = txn.get(full, db=self.main)
            return value
        place = self._descend(txn, full, None)
        return txn.get(place, db=self.long) if place else None

    def get_many(self, txn: LmdbTransaction, fulls: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those that are there. One cursor over sorted keys is several times faster than single gets."""
        short = sorted(full for full in fulls if len(full) <= keys.ROOT_SEGMENT)
        found: dict[bytes, bytes] = dict(txn.cursor(db=self.main).getmulti(short)) if short else {}
        for full in fulls:
            if len(full) > keys.ROOT_SEGMENT and (value := self.get(txn, full)) is not None:
                found[full] = value
        return found

    def put(self, txn: LmdbTransaction, full: bytes, value: bytes, new_child: Callable[[], int]) -> None:
        if len(full) <= keys.ROOT_SEGMENT:
            txn.put(full, value, db=self.main)
            return
        place = self._descend(txn, full, new_child)
        assert place is not None
        txn.put(place, value, db=self.long)

    def put_many(
        self, txn: LmdbTransaction, items: list[tuple[bytes, bytes]], new_child: Callable[[], int]
    ) -> None:
        """Pairs in ascending order of their keys: one cursor goes through them."""
        long = [item for item in items if len(item[0]) > keys.ROOT_SEGMENT]
        short = [item for item in items if len(item[0]) <= keys.ROOT_SEGMENT] if long else items
        txn.cursor(db=self.main).putmulti(short)
        for full, value in long:
            self.put(txn, full, value, new_child)

    def delete(self, txn: LmdbTransaction, full: bytes) -> None:
        """Forget a key. Branches stay: an empty one costs a few bytes and is passed over."""
        if len(full) <= keys.ROOT_SEGMENT:
            txn.delete(full, db=self.main)
        elif place := self._descend(txn, full, None):
            txn.delete(place, db=self.long)

    def names(
        self, txn: LmdbTransaction, start: bytes, limit: int, *, inclusive: bool, branched: bool
    ) -> list[bytes]:
        """See `Columnar`. `branched` is whether the store ever had a branch: where it never had, none is
        looked for among the keys, which would take a third as long as reading them.
        """
        found = self._leaves(txn, start, limit, inclusive=inclusive, branched=branched)
        if found is None:
            return [full for full, _ in islice(self.iterate(txn, start, inclusive=inclusive), max(limit, 0))]
        return found

    def values(self, txn: LmdbTransaction, first: bytes, count: int, *, branched: bool) -> list[bytes]:
        """See `Columnar`, and `names` for `branched`."""
        found: list[bytes] | None = None
        if len(first) <= keys.ROOT_SEGMENT:
            cursor = txn.cursor(db=self.main)
            there = cursor.set_range(first)
            found = list(islice(cursor.iternext(keys=False, values=True), count)) if there else []
        # As long as a child's id: a branch, or something damaged, which is the same either way.
        if found is None or (branched and keys.CHILD_LENGTH in map(len, found)):
            return [value for _, value in islice(self.iterate(txn, first, inclusive=True), count)]
        return found

    def _leaves(
        self, txn: LmdbTransaction, start: bytes, limit: int, *, inclusive: bool, branched: bool
    ) -> list[bytes] | None:
        """The keys of the main table from there on; None where they are not all there is, as one goes on in
        the table of long keys, or did once: a branch outlives what lay below it.
        """
        if len(start) > keys.ROOT_SEGMENT:
            return None
        cursor = txn.cursor(db=self.main)
        if not cursor.set_range(start) or (not inclusive and cursor.key() == start and not cursor.next()):
            return []
        found = list(islice(cursor.iternext(keys=True, values=False), max(limit, 0)))
        return None if branched and keys.LIMIT in map(len, found) else found

    def iterate(
        self, txn: LmdbTransaction, start: bytes, *, inclusive: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """(full key, value) from `start` on, in order."""
        return self._walk(txn, self.main, b"", b"", start, inclusive)

    def _descend(
        self, txn: LmdbTransaction, full: bytes, new_child: Callable[[], int] | None
    ) -> bytes | None:
        """The key under which a long full key lies in the table of long keys; None if no branch leads
        there.
        """
        if self.long is None:
            raise StoreError(f"{full!r} is longer than a name in the store may be; choose a shorter one")
        table, prefix = self.main, b""
        pieces = keys.segments(full)
        for piece in pieces[:-1]:
            name = prefix + keys.branch(piece)
            child = txn.get(name, db=table)
            if child is None:
                if new_child is None:
                    return None
                child = keys.pack_child(new_child())
                txn.put(name, child, db=table)
            table, prefix = self.long, bytes(child)
        return prefix + pieces[-1]

    def _walk(
        self, txn: LmdbTransaction, table: Any, prefix: bytes, before: bytes, start: bytes, inclusive: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """`prefix` is the child id that keys of this level begin with, `before` the full key down to it."""
        size = keys.CHILD_SEGMENT if prefix else keys.ROOT_SEGMENT
        first, rest = start[:size], start[size:]
        seek = prefix + (keys.branch(first) if rest else first)
        cursor = txn.cursor(db=table)
        found = cursor.set_range(seek)
        if found and not inclusive and not rest and cursor.key() == seek:
            found = cursor.next()
        if not found:
            return
        depth = len(prefix)
        items = cursor.iternext(keys=True, values=True)
        ahead = 2
        while part := list(islice(items, ahead)):
            ahead = min(2 * ahead, _PART)
            # The usual case at once: nothing below, and no branch among these.
            if not depth and keys.LIMIT not in map(len, map(_KEY, part)):
                yield from part
                continue
            for stored, value in part:
                if depth and stored[:depth] != prefix:
                    return
                if len(stored) == keys.LIMIT:  # a branch
                    deeper = rest if stored == seek else b""
                    inner = inclusive or not deeper
                    down = before + stored[depth:-1]
                    yield from self._walk(txn, self.long, bytes(value), down, deeper, inner)
                else:
                    yield before + stored[depth:], value
