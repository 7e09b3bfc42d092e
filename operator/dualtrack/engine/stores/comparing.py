"""A store held against files that were sealed just now: what matches, and whether anything was left over.

Where the store can, it reads its tables in their own order beside the files', and then has seen that nothing
lies between them (`coverage.py`): each row is read once, and only the gaps are read for what is left over.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import islice, takewhile
from typing import Protocol

from dualtrack.engine.rows import Generation, RowState
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.coverage import Alongside, Coverage, alongside
from dualtrack.engine.stores.matching import Checks, Held, Matched, match
from dualtrack.engine.stores.protocol import PackedRow, Place, SealedRows
from dualtrack.engine.stores.reading import READ_BYTES, READ_ROWS, Reading
from dualtrack.engine.stores.transaction import INDEX, ROWS, Columnar, Transaction

_FIRST = 32
"""Of a gap, which mostly holds no more than that, the entries that are read at first."""


class Between(Protocol):
    """See `Comparing.between`."""

    def __call__(
        self, table: str, start: bytes, end: bytes, most: int, *, inclusive: bool
    ) -> list[PackedRow]: ...


class Comparing(Reading):
    def coverage(self) -> Coverage:
        """That of a comparison that begins now: nothing yet."""
        return Coverage(self.entries())

    def match(self, fresh: SealedRows, floor: Generation, *, in_order: bool = True) -> Matched:
        """Which of these rows, sealed from files just now, the store holds as they are. `in_order`: also
        where nothing lies between them.
        """
        with self._read() as txn:
            stored, entries = (_under(txn, table, fresh.fulls, in_order=in_order) for table in (ROWS, INDEX))
        found = match(self._drive, fresh, stored.values, entries.values, floor.pack())
        found.rows, found.entries = stored.stretches, entries.stretches
        return found

    def checks(self, places: Sequence[Place]) -> Checks:
        """The checks of these places' present rows and index entries, as they lie there."""
        fulls = [keys.full_key(*each) for each in places]
        with self._read() as txn:
            stored, entries = txn.get_many(ROWS, fulls), txn.get_many(INDEX, fulls)
        found = Checks()
        for full in fulls:
            value = stored.get(full)
            present = value is not None and envelope.glance(full, value)[0] == RowState.PRESENT
            found.add(value if present else None, entries.get(full))
        return found

    def held(self, coverage: Coverage, floor: Generation) -> Generator[None, None, Held]:
        """The checks of everything in the store that `coverage` does not have; both together must be as much
        as the store counts. Read page by page, so that other work can be done between two.
        """
        found = Held()
        rows = yield from self._hold_rows(found, coverage, floor)
        yield from self._hold_entries(found, coverage)
        entries = found.checks.entries + coverage.entries.count
        self._compare_entries(coverage.before, rows + coverage.rows.count, entries)
        return found

    def _hold_rows(self, found: Held, coverage: Coverage, floor: Generation) -> Generator[None, None, int]:
        rows = 0
        for page in self._gap_pages(ROWS, coverage.rows.gaps()):
            present = [value for _, value in page if envelope.looks_present(value)]
            found.checks.add_rows(present)
            others = [] if len(present) == len(page) else page
            for full, value in others:
                if envelope.glance(full, value)[0] == RowState.PRESENT:
                    continue
                row = envelope.unpack_row(self._drive, full, value)
                if row.state is RowState.TOMBSTONE and row.generation >= floor:
                    found.tombstones += 1
                else:
                    found.others.append(keys.split_full(full))
            rows += len(page)
            yield
        return rows

    def _hold_entries(self, found: Held, coverage: Coverage) -> Generator[None, None, None]:
        for page in self._gap_pages(INDEX, coverage.entries.gaps()):
            found.checks.add_entries([entry for _, entry in page])
            yield

    def _gap_pages(self, table: str, gaps: Iterator[tuple[bytes, bytes]]) -> Iterator[list[PackedRow]]:
        return (page for start, end in gaps for page in pages_between(self.between, table, start, end))

    def between(self, table: str, start: bytes, end: bytes, most: int, *, inclusive: bool) -> list[PackedRow]:
        """What lies from `start` on and before `end`, as it lies there; not all of it, but none is the
        end."""
        page: list[PackedRow] = []
        size = 0
        with self._read() as txn:
            entries = islice(txn.iterate(table, start, inclusive=inclusive), min(most, READ_ROWS))
            for entry in takewhile(lambda entry: entry[0] < end, entries):
                page.append(entry)
                size += len(entry[1])
                if size > READ_BYTES:
                    break
        return page


def pages_between(between: Between, table: str, start: bytes, end: bytes) -> Iterator[list[PackedRow]]:
    """All that lies in a gap. Each page is of a moment of its own."""
    most, inclusive = _FIRST, True
    while page := between(table, start, end, most, inclusive=inclusive):
        yield page
        start, inclusive = page[-1][0], False
        most = min(2 * most, READ_ROWS)


def _under(txn: Transaction, table: str, fulls: Sequence[bytes], *, in_order: bool) -> Alongside:
    """What the table has under these keys, by whichever way is faster."""
    found = alongside(txn, table, fulls) if in_order and isinstance(txn, Columnar) else None
    if found is not None:
        return found
    values = txn.get_many(table, fulls)
    return Alongside([values.get(full, b"") for full in fulls], None)
