"""Whether a difference is one: looked at again beside a live server, until it is sure or gone.

What differs at first sight proves nothing where somebody writes: the file was read, then it and its row
changed, then the row was read. So a suspect is read afresh, file before row, until it is equal, or until two
looks in a row at a key that is not dirty saw exactly the same difference. A writer marks its key before it
changes the file and clears the mark after the row is committed, so such a difference is nobody's write.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dualtrack.engine.judging import Evidence, Verdict, judge
from dualtrack.engine.listing import DirectoryReader, Problem
from dualtrack.engine.pairing import read_many
from dualtrack.engine.rows import Generation
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task

LOOKS = 60
PAUSE_SECONDS = 0.25
BATCH = 64

Judged = tuple[Place, Evidence, Verdict]


@dataclass(slots=True)
class Confirmation:
    """`floor` and `final` are what `judge` is told. `unsettled`: what stayed dirty or could not be read."""

    task: Task
    floor: Generation
    final: bool = False
    unsettled: list[Place] = field(default_factory=list)
    reader: DirectoryReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = DirectoryReader(self.task.drive.path)

    def look(self, places: Sequence[Place]) -> Iterator[Judged]:
        """One look, in batches: what is `doubtful` of it needs another."""
        for start in range(0, len(places), BATCH):
            part = places[start : start + BATCH]
            for place, seen in zip(part, read_many(self.task.owner, self.reader, part), strict=True):
                yield place, seen, judge(seen, self.floor, final=self.final)

    def settle(self, suspects: set[Place]) -> Iterator[Judged]:
        """Each suspect with what it is; those that stay dirty are left in `dirty`."""
        before: dict[Place, Evidence] = {}
        left = set(suspects)
        for number in range(LOOKS):
            if not left:
                return
            if number > 1:
                time.sleep(PAUSE_SECONDS)
            self.task.checkpoint()
            clean = sorted(left - self.task.owner.dirty(left))
            for place, seen, verdict in self.look(clean):
                if unreadable_now(seen):
                    continue
                if verdict.differs and before.get(place) != seen:
                    before[place] = seen
                    continue
                left.discard(place)
                yield place, seen, verdict
        self.unsettled += sorted(left)


def doubtful(judged: Judged) -> bool:
    """Whether a first look says too little."""
    return judged[2].differs or unreadable_now(judged[1])


def unreadable_now(seen: Evidence) -> bool:
    return isinstance(seen.file, Problem) and seen.file.transient
