"""The quick way of a full verification: prove in bulk that all is equal, and leave all else to the merge.

For a store that this process owns, so that no row changes meanwhile (beside a server: `beside.py`). The
native reader seals the files again, a batch ahead, and the store says which of them it holds as they are; the
rest is looked at one by one. What the store met in its own order, with nothing between, is done with. Of the
rest the checks of all that was met are held against those of all that the store has: if they are the same,
every present row has its file. If not, or if anything differs, nothing is concluded here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from dualtrack.engine.ahead import read_ahead
from dualtrack.engine.drive import Drive
from dualtrack.engine.listing import Problem
from dualtrack.engine.owner import Owner
from dualtrack.engine.rows import Generation
from dualtrack.engine.sealing import Sealer
from dualtrack.engine.stores.coverage import Coverage
from dualtrack.engine.stores.matching import Checks, Held
from dualtrack.engine.stores.protocol import Place, SealedRows
from dualtrack.engine.stores.sealed import place_of
from dualtrack.engine.task import Task
from dualtrack.engine.walk import walk

BATCH_ROWS = 4_096
BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Some of a drive's files: those that could be sealed, others by name, and what cannot be read."""

    sealed: SealedRows
    others: tuple[Place, ...]
    problems: tuple[Problem, ...]

    @property
    def unreadable(self) -> list[Place]:
        """What will not be read by another try, either: it belongs into the quarantine."""
        return [(problem.bucket, problem.key) for problem in self.problems if not problem.transient]


def file_batches(drive: Drive, sealer: Sealer, most: int) -> Iterator[FileBatch]:
    """All files of a drive, about `most` at a time."""
    sealed, others, problems = SealedRows(), list[Place](), list[Problem]()
    for part in walk(drive, system=True, sealer=sealer):
        sealed.extend(part.sealed)
        others += ((found.bucket, found.key) for found in part.objects)
        problems += part.problems
        if len(sealed) + len(others) + len(problems) >= most or sealed.size >= BATCH_BYTES:
            yield FileBatch(sealed, tuple(others), tuple(problems))
            sealed, others, problems = SealedRows(), [], []
    yield FileBatch(sealed, tuple(others), tuple(problems))


@dataclass(slots=True)
class BulkComparison:
    """`equal(digest, count)` takes in what has matched; `look(places)` judges others one by one; `failed` is
    told of what could not be read.
    """

    task: Task
    owner: Owner
    floor: Generation
    equal: Callable[[int, int], None]
    look: Callable[[list[Place]], None]
    failed: Callable[[Problem], None]
    met: Checks = field(default_factory=Checks)
    #: Places that were looked at one by one because their files are quarantined.
    aside: set[Place] = field(default_factory=set)

    def run(self, sealer: Sealer) -> bool:
        """Whether everything in the store was met, so that nothing is left to be looked for."""
        store = self.owner.store
        coverage = store.coverage()
        pages: Generator[None, None, Held] | None = None
        held: Held | None = None
        with closing(read_ahead(file_batches(self.task.drive, sealer, BATCH_ROWS))) as batches:
            for batch in batches:
                self._compare(batch, coverage if pages is None else None)
                if pages is None and not coverage.rows.count:
                    # No store to be read in order: what it holds is summed between the batches, while the
                    # next one is being read.
                    pages = store.held(coverage, self.floor)
                if pages is not None and held is None:
                    held = _next(pages)
                self.task.checkpoint()
        if coverage.twice:
            return False
        pages = pages or store.held(coverage, self.floor)
        while held is None:
            held = _next(pages)
            self.task.checkpoint()
        self.look([place for place in held.others if place not in self.aside])
        self.task.counts["absent"] += held.tombstones
        self.task.scanned += held.tombstones
        return held.checks == self.met

    def _compare(self, batch: FileBatch, coverage: Coverage | None) -> None:
        found = self.owner.store.match(batch.sealed, self.floor, in_order=coverage is not None)
        if coverage is not None and not found.others:
            if coverage.rows.take(found.rows):
                found.checks.rows = found.checks.row_sum = 0
            if coverage.entries.take(found.entries):
                found.checks.entries = found.checks.entry_sum = 0
        self.met.include(found.checks)
        self.equal(found.digest, len(batch.sealed) - len(found.others))
        places = [*batch.others, *(place_of(batch.sealed.fulls[number]) for number in found.others)]
        places += batch.unreadable
        self.aside.update(batch.unreadable)
        for problem in batch.problems:
            if problem.transient:
                self.failed(problem)
        self.look(places)
        self.met.include(self.owner.store.checks(places))


def _next(pages: Generator[None, None, Held]) -> Held | None:
    """One page more; what was found after the last one."""
    try:
        next(pages)
    except StopIteration as end:
        found: Held = end.value
        return found
    return None
