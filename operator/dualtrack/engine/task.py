"""One run of a verb that changes files or meta values: what it works on, by whose order, what it has done.

Every such verb goes batch by batch and calls `checkpoint` between two of them: that is where a SIGTERM ends
it, where its fence, its lock and the drive's marker are read again, and where progress is told. Time comes in
as a value. What a verb found goes into `counts` and `names`, which the command line turns into the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dualtrack.engine import audit
from dualtrack.engine.audit import Begun, Record
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.stores.protocol import Batch, Outcome, Put
from dualtrack.errors import IncompleteError

MAX_NAMES = 10


@dataclass(slots=True)
class Task:
    """`client_only`: a server owns the store. Otherwise this process does, and no server runs.

    `epoch` and `migration_uid` are what the run was ordered for; 0 and "" where nobody said, which takes the
    store's. `store_dir` says where the store is, without a password. `limit` 0 is none.
    """

    drive: Drive
    store_dir: str
    owner: OwnerApi
    fence: int
    run_id: str
    epoch: int = 0
    migration_uid: str = ""
    client_only: bool = False
    server_stopped: bool = False
    dry_run: bool = False
    limit: int = 0
    lock: DriveLock | None = None
    #: What the command line said, for the audit.
    arguments: Mapping[str, object] = field(default_factory=dict)
    #: Ids of all drives that the run works on, this one among them.
    peers: frozenset[str] = frozenset()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    stop: Callable[[], bool] = lambda: False
    report: Callable[[int, int, int | None], None] = lambda scanned, committed, total: None
    counts: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    extra: dict[str, object] = field(default_factory=dict)
    """What progress lines say beside the counts."""
    scanned: int = 0
    committed: int = 0
    total: int | None = None

    def checkpoint(self) -> None:
        """Between two batches. `IncompleteError` if the run was told to stop; `FencedError` or `MarkerError`
        if another run has taken over.
        """
        self.report(self.scanned, self.committed, self.total)
        if self.stop():
            raise IncompleteError("interrupted")
        if self.lock is not None:
            self.lock.check()

    def commit(
        self,
        puts: tuple[Put, ...] = (),
        meta: dict[str, bytes | None] | None = None,
        cursor: tuple[str, bytes] | None = None,
    ) -> tuple[Outcome, ...]:
        """Durable under the run's fence; one outcome a put. Nothing in a dry run."""
        if self.dry_run:
            return ()
        return self.owner.commit(Batch(self.fence, puts, meta or {}, cursor)).outcomes

    @contextmanager
    def recorded(
        self, verb: str, undo: str, *, required: bool = True, **details: object
    ) -> Iterator[Record | None]:
        """What is done within has an entry before and after it in the drive's audit (`audit.step`), with
        what it added to the counts. None in a dry run, which changes nothing. `details` is what it is about,
        beside the command line.
        """
        if self.dry_run:
            yield None
            return
        before, generation = Counter(self.counts), self.owner.next_generation()
        begun = Begun(
            verb,
            self.run_id,
            self.fence,
            undo,
            {**self.arguments, **details},
            self.epoch or self.owner.info().epoch,
            (generation.term, generation.counter),
            self.migration_uid,
        )
        record = Record()
        try:
            with audit.step(self.drive.path, begun, record, now=self.now, required=required):
                if required:
                    self.notes.setdefault("undo", undo)
                try:
                    yield record
                finally:
                    record.counts |= {str(name): count for name, count in (self.counts - before).items()}
        finally:
            if record.undo:
                self.notes["undo"] = record.undo
            if record.warning:
                self.warn(record.warning)

    def warn(self, what: str) -> None:
        """Tell of something beside the outcome."""
        before = self.notes.get("warning")
        self.notes["warning"] = f"{before}; {what}" if before else what

    def own(self, folder: str) -> str:
        """Where this drive's part of a folder lies that a run over several drives shares."""
        return folder if len(self.peers) < 2 else f"{folder.rstrip('/')}/{self.drive.drive_id}"

    def name(self, what: str) -> None:
        """Tell of an object by name; the first few go into the result."""
        if len(self.names) < MAX_NAMES:
            self.names.append(what)

    def room(self) -> int | None:
        """How many objects may still be changed; None without a limit."""
        return max(self.limit - self.committed, 0) if self.limit else None

    def held_lock(self) -> DriveLock:
        if self.lock is None:
            raise AssertionError("this verb changes files and needs the drive's lock")
        return self.lock
