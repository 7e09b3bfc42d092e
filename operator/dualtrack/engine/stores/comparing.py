"""A store held against files that were sealed just now: what matches, and whether anything was left over."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice

from dualtrack.engine.rows import Generation, RowState
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.matching import Checks, Held, Matched, match
from dualtrack.engine.stores.protocol import Place, SealedRows
from dualtrack.engine.stores.reading import READ_ROWS, Reading
from dualtrack.engine.stores.transaction import INDEX, ROWS


class Comparing(Reading):
    def match(self, fresh: SealedRows, floor: Generation) -> Matched:
        """Which of these rows, sealed from files just now, the store holds as they are."""
        with self._read() as txn:
            stored, entries = txn.get_many(ROWS, fresh.fulls), txn.get_many(INDEX, fresh.fulls)
        return match(self._drive, fresh, stored, entries, floor.pack())

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

    def held(self) -> Generator[None, None, Held]:
        """The checks of everything in the store, which must be as much as it counts; read page by page, so
        that other work can be done between two.
        """
        before = self.entries()
        found = Held()
        rows = yield from self._hold_rows(found)
        yield from self._hold_entries(found)
        self._compare_entries(before, rows, found.checks.entries)
        return found

    def _hold_rows(self, found: Held) -> Generator[None, None, int]:
        start, rows = b"", 0
        while True:
            with self._read() as txn:
                page = self._page(txn, start, READ_ROWS)
            if not page:
                return rows
            present = [value for _, value in page if envelope.looks_present(value)]
            found.checks.add_rows(present)
            others = [] if len(present) == len(page) else page
            for full, value in others:
                if envelope.glance(full, value)[0] == RowState.PRESENT:
                    continue
                if envelope.unpack(self._drive, full, value).row.state is RowState.TOMBSTONE:
                    found.tombstones += 1
                else:
                    found.residents.append(keys.split_full(full))
            start, rows = page[-1][0], rows + len(page)
            yield

    def _hold_entries(self, found: Held) -> Generator[None, None, None]:
        start = b""
        while True:
            with self._read() as txn:
                page = list(islice(txn.iterate(INDEX, start, inclusive=False), READ_ROWS))
            if not page:
                return
            found.checks.add_entries([entry for _, entry in page])
            start = page[-1][0]
            yield
