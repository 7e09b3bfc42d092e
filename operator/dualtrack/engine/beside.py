"""The quick way of a full verification beside a server, over the socket of the store's owner.

Rows change meanwhile, so sums over what was met at one time and what lies there at another would prove
nothing. Instead every key is accounted for: the files are sealed here, a batch ahead, and the owner says
which of them it holds as they are and where nothing lies between them. What differs, what Python had to read
and, at the end, whatever lies in the gaps is looked at one by one, and again until it is sure
(`confirming.py`). As with the merge, each object is as of the moment at which it was read. A final
verification goes this way in any case: rows that were written in `kv_only` have no file, or an older one.

Where that would need more than a bounded number of looks, or something was met twice, nothing is concluded
here, and the merge in key order begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from dualtrack.engine.ahead import read_ahead
from dualtrack.engine.bulk import FileBatch, file_batches
from dualtrack.engine.confirming import BATCH
from dualtrack.engine.listing import Problem
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import Generation, RowState
from dualtrack.engine.sealing import Sealer
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.comparing import pages_between
from dualtrack.engine.stores.coverage import Covered
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.stores.sealed import place_of
from dualtrack.engine.stores.transaction import INDEX, ROWS
from dualtrack.engine.task import Task

BATCH_ROWS = 1_024
MOST_APART = 100_000
"""Keys that are remembered because they were met outside of every stretch."""


@dataclass(slots=True)
class BesideComparison:
    """`equal`, `look` and `failed` as in `BulkComparison`; `drive_id` is the store's."""

    task: Task
    owner: OwnerApi
    drive_id: str
    floor: Generation
    equal: Callable[[int, int], None]
    look: Callable[[list[Place]], None]
    failed: Callable[[Problem], None]
    rows: Covered = field(default_factory=Covered)
    entries: Covered = field(default_factory=Covered)
    #: Full keys that were met, but in no stretch.
    apart: set[bytes] = field(default_factory=set)

    def run(self, sealer: Sealer) -> bool:
        """Whether every file, row and index entry was met."""
        with closing(read_ahead(file_batches(self.task.drive, sealer, BATCH_ROWS))) as batches:
            for batch in batches:
                self._compare(batch)
                self.task.checkpoint()
                if len(self.apart) > MOST_APART:
                    return False
        if self.rows.twice or self.entries.twice:
            return False
        left_over = self._left_over()
        while places := list(islice(left_over, BATCH)):
            self.look(places)
            self.task.checkpoint()
            if len(self.apart) > MOST_APART:
                return False
        return True

    def _compare(self, batch: FileBatch) -> None:
        fulls = batch.sealed.fulls
        found = self.owner.match(batch.sealed, self.floor)
        self.equal(found.digest, len(fulls) - len(found.others))
        of_rows, of_entries = self.rows.take(found.rows), self.entries.take(found.entries)
        if not (of_rows and of_entries):
            self.apart.update(fulls)
        places = [*batch.others, *(place_of(fulls[number]) for number in found.others), *batch.unreadable]
        self.apart.update(keys.full_key(*place) for place in places)
        for problem in batch.problems:
            if problem.transient:
                self.failed(problem)
        self.look(places)

    def _left_over(self) -> Iterator[Place]:
        """What lies in the gaps and was not met: rows, then index entries whose rows were not among these.
        Tombstones of objects without a file are counted here.
        """
        drive = self.drive_id.encode()
        for full, value in self._in_gaps(ROWS, self.rows):
            row = envelope.unpack_row(drive, full, value)
            if row.state is RowState.TOMBSTONE and row.generation >= self.floor:
                self.task.counts["absent"] += 1
                self.task.scanned += 1
            else:
                yield self._apart(full)
        for full, _ in self._in_gaps(INDEX, self.entries):
            yield self._apart(full)

    def _in_gaps(self, table: str, covered: Covered) -> Iterator[tuple[bytes, bytes]]:
        for start, end in covered.gaps():
            for page in pages_between(self.owner.between, table, start, end):
                yield from (entry for entry in page if entry[0] not in self.apart)

    def _apart(self, full: bytes) -> Place:
        self.apart.add(full)
        return place_of(full)
