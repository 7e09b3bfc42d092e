"""The sweep: every `xl.meta` of a drive becomes a row, beside a server that goes on writing.

Batch by batch: take a generation; only then list and open files; decode and summarise; commit {fence, rows by
compare-and-set, quarantine, pace, cursor} in one transaction. Whatever the server writes meanwhile is newer
than the batch's generation or marked dirty, so a batch never puts an old row over it: such keys are looked at
again at the end, and the server's own drain has them by then. What cannot be read is quarantined by name and
gets a row that points to its file; no row is ever made of a corrupt file. A row that the store has damaged is
left to `mending.py`, and the sweep goes on.

The cursor counts directories and lies in the store beside the rows: a sweep that was killed goes on where its
last durable batch ended. A pass is complete when every directory was read; only then are rows without files
looked for (`departed.py`), and only then does the store say that this epoch was swept.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace

from dualtrack.engine import bucket_order, deleted, departed
from dualtrack.engine.authority import require_files_lead
from dualtrack.engine.batches import Batches
from dualtrack.engine.drafts import draft_of_found, resident, settle_journal
from dualtrack.engine.listing import DirectoryReader, Found, Problem
from dualtrack.engine.mending import Mending
from dualtrack.engine.pace import Pace
from dualtrack.engine.places import object_path
from dualtrack.engine.quarantine import Quarantined, all_quarantined, meta_name, quarantined
from dualtrack.engine.rows import Generation, Row, RowState
from dualtrack.engine.stores.protocol import Batch, Outcome, Place, Put, SealedRows
from dualtrack.engine.stores.sealed import place_of
from dualtrack.engine.sweepstate import CURSOR, State
from dualtrack.engine.task import Task
from dualtrack.engine.walk import Range
from dualtrack.errors import IncompleteError

REQUEUE_ROUNDS = 50
_ROUND_SECONDS = 0.2


@dataclass(slots=True)
class Sweep:
    task: Task
    pace: Pace
    accepted: departed.Accepted = departed.NOTHING
    concurrency: int | None = None
    state: State = field(init=False)
    known: dict[str, Quarantined] = field(init=False)
    requeue: set[Place] = field(default_factory=set)
    damaged: set[Place] = field(default_factory=set)
    mending: Mending = field(init=False)
    first_unread: list[str] = field(default_factory=list)

    def run(self) -> None:
        """One pass, or the rest of one. `IncompleteError` where something stayed unread."""
        require_files_lead(self.task, "a sweep")
        if not self.task.dry_run:
            settle_journal(self.task)
        self.state = self._resume()
        self.known = {each.meta_name: each for each in all_quarantined(self.task.owner)}
        self.mending = Mending(self.task, self.known)
        self.task.scanned = self.state.scanned
        reading = Batches(self.task, self.pace, self.state, self.concurrency)
        with closing(reading.read()) as batches:
            for generation, ranges in batches:
                self._commit(generation, ranges)
                self._mend()
                self.task.checkpoint()
                self._rest()
        self._settle_requeued()
        self._finish()

    def _mend(self) -> None:
        if self.damaged:
            self.mending.mend(self.damaged)
            self.damaged.clear()

    def _resume(self) -> State:
        info = self.task.owner.info()
        stored = self.task.owner.cursor(CURSOR)
        if stored:
            before = State.unpack(stored)
            if not before.done and (before.epoch, before.floor) == (
                info.epoch,
                info.trust_floor.pack().hex(),
            ):
                return before
        start = self.task.owner.next_generation()
        order = self._order(start)
        # After the generation was taken: a row that comes later is newer, or of a write under way, and its
        # owner will also tell of its deletion.
        first = self.task.owner.scan_older(None, start, info.trust_floor, 1).last is None
        return State(info.epoch, info.trust_floor.pack().hex(), start.pack().hex(), order=order, first=first)

    def _order(self, start: Generation) -> tuple[str, ...]:
        if self.pace.file.priority is None:
            return ()
        rows = self.task.owner.stats().objects
        found = bucket_order.choose(self.task.drive, self.pace.file.priority, rows, start.counter)
        self.task.notes["order"] = found.told
        return found.buckets

    def _commit(self, generation: Generation, ranges: list[Range]) -> None:
        puts: list[Put] = []
        meta: dict[str, bytes | None] = {}
        unread = 0
        found = (each for part in ranges for each in part.objects)
        puts += [self._put(generation, each, meta) for each in found]
        sealed = SealedRows()
        for part in ranges:
            sealed.extend(part.sealed)
        self._release(sealed, meta)
        for problem in (each for part in ranges for each in part.problems):
            if not problem.transient:
                puts.append(self._set_aside(generation, problem, None, meta))
            elif not problem.vanished:
                unread += 1
                self.first_unread = [*self.first_unread, f"{problem.path}: {problem.reason}"][:3]
                self.task.name(f"{problem.path}: {problem.reason}")
        count = len(puts) + len(sealed)
        self.state = replace(
            self.state,
            at=ranges[-1].cursor.pack().hex(),
            scanned=self.state.scanned + count,
            unread=self.state.unread + unread,
        )
        meta |= self.pace.take(count)
        self._send(puts, meta, sealed)
        self.task.scanned = self.state.scanned

    def _release(self, sealed: SealedRows, meta: dict[str, bytes | None]) -> None:
        """Take out of the quarantine what could be sealed, and so is sound."""
        if not self.known:
            return
        for name in map(_name_of, map(place_of, sealed.fulls)):
            if name in self.known:
                del self.known[name]
                meta[name] = None

    def _send(self, puts: list[Put], meta: dict[str, bytes | None], sealed: SealedRows | None = None) -> None:
        task = self.task
        if task.dry_run:
            return
        # A file that cannot be read takes its row out of service, which may be the last that knew the object.
        unread = [(put.row.bucket, put.row.key) for put in puts if put.row.state is RowState.FS_RESIDENT]
        if kept := deleted.keep_rows_of(task, unread):
            task.counts["kept"] += kept
        rows = sealed or SealedRows()
        batch = Batch(task.fence, tuple(puts), meta, (CURSOR, self.state.pack()), rows or None)
        began = time.monotonic()
        outcomes = task.owner.commit(batch).outcomes
        self.pace.store_took(time.monotonic() - began)
        for outcome, times in Counter(outcomes).items():
            task.counts[outcome.name.lower()] += times
        if Outcome.DIRTY in outcomes or Outcome.DAMAGED in outcomes:
            places = [*((put.row.bucket, put.row.key) for put in puts), *map(place_of, rows.fulls)]
            told = list(zip(places, outcomes, strict=True))
            self.requeue |= {place for place, outcome in told if outcome is Outcome.DIRTY}
            self.damaged |= {place for place, outcome in told if outcome is Outcome.DAMAGED}
        task.committed = task.counts["applied"]

    def _put(self, generation: Generation, found: Found, meta: dict[str, bytes | None]) -> Put:
        draft = draft_of_found(found)
        if isinstance(draft, Problem):
            return self._set_aside(generation, draft, found, meta)
        if self.known and (name := meta_name(found.bucket, found.key)) in self.known:
            del self.known[name]
            meta[name] = None
        row = Row.of(found.bucket, found.key, generation, draft)
        return Put(row, draft.summary, versions=draft.versions)

    def _set_aside(
        self, generation: Generation, problem: Problem, found: Found | None, meta: dict[str, bytes | None]
    ) -> Put:
        """Quarantine an object by name; its row says that the file is to be read."""
        record = quarantined(problem, found.data if found else b"", self.task.now())
        before = self.known.get(record.meta_name)
        if before:
            record = record.after(before)
        self.known[record.meta_name] = record
        meta[record.meta_name] = record.pack()
        self.task.name(f"{record.name}: {record.reason}")
        return Put(Row.of(problem.bucket, problem.key, generation, resident(found)), versions=0)

    def _rest(self) -> None:
        """Keep to the pace, but notice a SIGTERM within a second."""
        while (wait := self.pace.wait()) > 0:
            self.task.extra["waitingFor"] = list(self.pace.waiting_for)
            time.sleep(min(wait, 1.0))
            self._tell_waited()
            self.task.checkpoint()
        self.task.extra.pop("waitingFor", None)

    def _tell_waited(self) -> None:
        waited = {reason: round(seconds) for reason, seconds in self.pace.waited.items()}
        if waited:
            self.task.extra["throttledSeconds"] = self.task.notes["throttledSeconds"] = waited

    def _settle_requeued(self) -> None:
        """Read again what was dirty, until the server's drain has it; what is left stays in its journal."""
        reader = DirectoryReader(self.task.drive.path)
        for attempt in range(REQUEUE_ROUNDS):
            if not self.requeue:
                return
            if attempt:
                time.sleep(_ROUND_SECONDS)
            self.task.checkpoint()
            places, self.requeue = self.requeue, set()
            self._reread(reader, sorted(places))
            self._mend()
        self.task.counts["still_dirty"] = len(self.requeue)

    def _reread(self, reader: DirectoryReader, places: list[Place]) -> None:
        generation = self.task.owner.next_generation()
        puts: list[Put] = []
        meta: dict[str, bytes | None] = {}
        for place in places:
            found = reader.read(object_path(*place))
            if isinstance(found, Found):
                puts.append(self._put(generation, found, meta))
            elif isinstance(found, Problem):
                puts.append(self._set_aside(generation, found, None, meta))
        self._send(puts, meta)

    def _finish(self) -> None:
        task, state = self.task, self.state
        task.counts["scanned"] = state.scanned
        self._require_read()
        start = Generation.unpack(bytes.fromhex(state.start))
        task.counts["tombstones"] = 0
        gone: list[Place] = []
        if not state.first:
            gone = departed.tombstone(task, start, self.damaged, self.accepted)
            self._mend()
            self._require_read()
        gone_names = {name for name in map(_name_of, gone) if name in self.known}
        for name in gone_names:
            del self.known[name]
        info = task.owner.info()
        task.counts["quarantined"] = len(self.known)
        if (info.epoch, info.trust_floor.pack().hex()) != (state.epoch, state.floor):
            self._forget_cursor()
            raise IncompleteError(
                f"the epoch or the trust floor of the store changed during the sweep ({state.epoch} → "
                f"{info.epoch}); "
                "run migrate again"
            )
        meta: dict[str, bytes | None] = dict.fromkeys(gone_names)
        meta |= {"swept_epoch": str(info.epoch).encode(), "unmended": None}
        task.commit(meta=meta, cursor=(CURSOR, replace(state, done=True).pack()))

    def _require_read(self) -> None:
        if unread := self.state.unread + self.mending.unread:
            self._forget_cursor()
            # Not those that an earlier run met before it was cut off: of them the number is kept.
            first = "; ".join([*self.first_unread, *self.mending.first_unread][:3])
            raise IncompleteError(
                f"{unread} directories or files of {self.task.drive.path} could not be read"
                f"{first and f' ({first})'}; nothing was deleted for that, and the sweep does not count as "
                "complete: mend them and run migrate again"
            )

    def _forget_cursor(self) -> None:
        """The next run begins a new pass."""
        self.task.commit(cursor=(CURSOR, replace(self.state, done=True).pack()))


def _name_of(place: Place) -> str:
    return meta_name(*place)
