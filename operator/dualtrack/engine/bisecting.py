"""Which rows of two stores differ, found by digests: the digest of a range is compared, and halved.

Two equal digests with equal counts settle a range of any size. Only where they differ is the range cut at its
middle key and both halves asked again, until a single key is left on either side: it is named. A difference
in a store of millions of rows costs a dozen digests of one page, and none is ever missed, because every row
lies in exactly one range at each depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from dualtrack.engine.digests import Digest, DigestSum
from dualtrack.engine.rows import Row, order
from dualtrack.engine.stores.protocol import Place

PAGE = 2_000
_SCAN = 500


class Side(Protocol):
    """A store, or whoever owns one."""

    def scan(self, after: Place | None, limit: int) -> list[Row]: ...


def rows_between(side: Side, after: Place | None, until: Place | None) -> Iterator[Row]:
    """Rows of every state after `after`, up to and with `until` (None: to the end)."""
    end = order(*until) if until is not None else None
    while page := side.scan(after, _SCAN):
        for row in page:
            if end is not None and order(row.bucket, row.key) > end:
                return
            yield row
        after = page[-1].bucket, page[-1].key


def range_digest(side: Side, after: Place | None, until: Place | None) -> Digest:
    """Over all that a row says, its generation and state included."""
    total = DigestSum()
    for row in rows_between(side, after, until):
        head = bytes((row.state, row.origin)) + row.generation.pack() + row.fingerprint.pack()
        status = f"{row.name.file},{row.mode},{row.uid},{row.gid},{row.mtime_ns}".encode()
        total.add(row.bucket, row.key, head + status + b"\0" + row.data)
    return total.value()


def differing(left: Side, right: Side) -> Iterator[Place]:
    """Every key whose rows are not the same, in order; keys of one side alone included."""
    after: Place | None = None
    while page := _keys(left, after, None, PAGE):
        # The last page of the left takes whatever the right has behind it.
        until = page[-1] if len(page) == PAGE else None
        yield from _halve(left, right, after, until)
        if until is None:
            return
        after = until
    yield from _halve(left, right, after, None)


def _halve(left: Side, right: Side, after: Place | None, until: Place | None) -> Iterator[Place]:
    mine, theirs = (range_digest(side, after, until) for side in (left, right))
    if mine == theirs:
        return
    larger = left if mine.count >= theirs.count else right
    keys = _keys(larger, after, until, max(mine.count, theirs.count))
    if len(keys) == 1:
        others = _keys(right if larger is left else left, after, until, 1)
        yield from sorted({*keys, *others}, key=lambda place: order(*place))
        return
    middle = keys[(len(keys) - 1) // 2]
    yield from _halve(left, right, after, middle)
    yield from _halve(left, right, middle, until)


def _keys(side: Side, after: Place | None, until: Place | None, limit: int) -> Sequence[Place]:
    found: list[Place] = []
    for row in rows_between(side, after, until):
        found.append((row.bucket, row.key))
        if len(found) == limit:
            break
    return found
