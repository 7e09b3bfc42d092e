"""The reading half of a sweep: a drive's ranges in batches, each under a generation of its own.

The generation is taken before the first file of its batch is opened, so that whatever a server writes
meanwhile is newer. A sweep reads ahead, one batch while the last one is committed; but where its pace bounds
it, all work of a batch counts, so none is read before the last one is done with.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from dualtrack.engine.ahead import read_ahead
from dualtrack.engine.owner import Owner
from dualtrack.engine.pace import Pace
from dualtrack.engine.rows import Generation
from dualtrack.engine.sealing import Sealer, reading_threads
from dualtrack.engine.stretches import walk_in
from dualtrack.engine.sweepstate import State
from dualtrack.engine.task import Task
from dualtrack.engine.walk import Cursor, Range

BATCH_ROWS = 4_096
SHARED_ROWS = 1_024
"""Beside a server, whose writes wait for the transaction that they share with the batch, and with a pace."""
BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batches:
    """What is left of the pass that `state` tells of. `concurrency`: the most objects that may be read at a
    time; the pace's file may say less, and anew each minute.
    """

    task: Task
    pace: Pace
    state: State
    concurrency: int | None = None

    def read(self) -> Generator[tuple[Generation, list[Range]], None, None]:
        most = BATCH_ROWS if self._alone else min(SHARED_ROWS, BATCH_ROWS)
        return read_ahead(self._read(most), lambda: self.pace.free)

    @property
    def readers(self) -> int:
        """How many objects are read at a time, as things stand now."""
        said = [most for most in (self.concurrency, self.pace.file.concurrency) if most is not None]
        if said:
            return reading_threads(min(said))
        return reading_threads() if self._alone else 1

    @property
    def _alone(self) -> bool:
        return isinstance(self.task.owner, Owner) and self.pace.unbounded

    def _read(self, most: int) -> Generator[tuple[Generation, list[Range]], None, None]:
        owner = self.task.owner
        sealer = Sealer.of(self.task.drive.path, owner.info().drive_id)
        after = Cursor.unpack(bytes.fromhex(self.state.at)) if self.state.at else None
        ranges = walk_in(self.task.drive, self.state.order, after, sealer)
        readers = 1  # without the native reader objects are read one by one
        while True:
            generation = owner.next_generation()
            if sealer is not None:
                sealer.generation = generation
                readers = self.readers
                sealer.use(readers)
            self.task.notes["readers"] = readers
            batch: list[Range] = []
            rows = size = 0
            for each in ranges:
                batch.append(each)
                rows += len(each.objects) + len(each.sealed)
                size += sum(len(found.data) for found in each.objects) + each.sealed.size
                if rows >= most or size >= BATCH_BYTES:
                    break
            if not batch:
                return
            yield generation, batch
