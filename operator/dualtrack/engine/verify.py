"""Verification: every file is read again, in this process, and held against its row and its index entry.

What differs at first sight proves nothing beside a live server, so it is confirmed (`confirming.py`). A key
that stays dirty makes the verification incomplete, and so does whatever cannot be read.

A quick way (`bulk.py` where this process owns the store and every row has its file, otherwise `beside.py`)
proves in bulk that all is equal; what it cannot settle, and every difference, is met again in key order and
judged here.

Both sides are summed to a digest with a count. `--final` is for a drive at `kv_only`: a row that was written
there has no file, or an older one, which is counted apart. A clean result is recorded in the store's meta
value `verified`; cleanup and cut-over rely on that record and on nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from dualtrack.engine.beside import BesideComparison
from dualtrack.engine.bulk import BulkComparison
from dualtrack.engine.confirming import Confirmation, doubtful
from dualtrack.engine.digests import DigestSum
from dualtrack.engine.drafts import settle_journal
from dualtrack.engine.judging import Evidence, Verdict, judge
from dualtrack.engine.listing import Problem
from dualtrack.engine.owner import Owner
from dualtrack.engine.owner_api import OwnerInfo
from dualtrack.engine.pairing import pairs
from dualtrack.engine.repair.records import REPAIRS
from dualtrack.engine.sealing import Sealer, reading_threads
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.engine.waiving import all_waivers, content_sha256
from dualtrack.errors import DifferenceError, IncompleteError, OwnerError, RefusedError
from dualtrack.waivers import list_digest, waiver_id

META = "verified"
SUSPECTS = 256
CHECKPOINT = 1_000


@dataclass(slots=True)
class Verification:
    """`waived`: ids (`dualtrack/waivers.py`) of quarantined objects that somebody has accepted as they are.
    `strict` False leaves it to whoever reads the result whether the others may stay, and takes no waiver from
    the store.
    """

    task: Task
    final: bool = False
    waived: frozenset[str] = frozenset()
    strict: bool = True
    files: DigestSum = field(default_factory=DigestSum)
    rows: DigestSum = field(default_factory=DigestSum)
    suspects: set[Place] = field(default_factory=set)
    quarantined: dict[Place, str] = field(default_factory=dict)
    unread: int = 0
    repairs: int = 0
    #: Keys whose file has to follow their row, which a verification does not do.
    later: set[Place] = field(default_factory=set)
    info: OwnerInfo = field(init=False)
    confirmation: Confirmation = field(init=False)

    def run(self) -> None:
        """Raise `IncompleteError` or `DifferenceError` unless everything is there and equal."""
        task = self.task
        if task.drive.held:
            raise RefusedError(
                f"cleanup has taken the files of {task.drive.path}, so there is nothing to hold the rows "
                "against: use scrub, verify --against-snapshot, or report check"
            )
        self.info = usable_owner(task)
        self.later = settle_journal(task)
        self.confirmation = Confirmation(task, self.info.trust_floor, self.final)
        generation = task.owner.next_generation()
        task.total = sum(task.owner.stats().objects.values())
        if not self._in_bulk():
            self._merge()
        self.confirmation.unsettled += sorted(self.later - {*self.confirmation.unsettled})
        self._conclude()
        self._record(generation.pack().hex())

    def _merge(self) -> None:
        """Meet every object that files, rows or index know, in order, and judge it."""
        for number, (place, seen) in enumerate(pairs(self.task.drive, self.task.owner, self._failed)):
            verdict = judge(seen, self.info.trust_floor, final=self.final)
            self._take(place, seen, verdict, sure=not verdict.differs)
            if number % CHECKPOINT == 0:
                self.task.checkpoint()
        self._look_again()

    def _in_bulk(self) -> bool:
        """Whether the quick way has settled everything. Where it has not, it leaves no trace."""
        owner, task = self.task.owner, self.task
        threads = reading_threads() if isinstance(owner, Owner) else 1
        sealer = Sealer.of(task.drive.path, self.info.drive_id, threads=threads)
        if sealer is None:
            return False
        kept = task.counts.copy(), list(task.names), task.scanned, task.committed
        told = self._equal, self._look_at, self._failed
        if isinstance(owner, Owner) and not self.final:
            settled = BulkComparison(task, owner, self.info.trust_floor, *told).run(sealer)
        else:
            beside = BesideComparison(task, owner, self.info.drive_id, self.info.trust_floor, *told)
            settled = beside.run(sealer)
        self._look_again()
        if settled and not task.counts["differences"]:
            return True
        task.counts, task.names, task.scanned, task.committed = kept
        self.files, self.rows, self.unread = DigestSum(), DigestSum(), 0
        self.quarantined.clear()
        self.confirmation = Confirmation(task, self.info.trust_floor, self.final)
        return False

    def _equal(self, digest: int, count: int) -> None:
        self.rows.include(digest, count)
        self.files.include(digest, count)
        self.task.scanned += count
        self.task.committed += count
        if count:
            self.task.counts[Verdict.EQUAL.value] += count

    def _look_at(self, places: list[Place]) -> None:
        for judged in self.confirmation.look(places):
            self._take(*judged, sure=not doubtful(judged))

    def _take(self, place: Place, seen: Evidence, verdict: Verdict, *, sure: bool) -> None:
        if sure:
            self._count(place, seen, verdict)
        else:
            self.suspects.add(place)
        if len(self.suspects) >= SUSPECTS:
            self._look_again()

    def _failed(self, problem: Problem) -> None:
        if not problem.transient:
            self.suspects.add((problem.bucket, problem.key))
        elif not problem.vanished:
            self.unread += 1
            self.task.name(f"{problem.path}: {problem.reason}")

    def _count(self, place: Place, seen: Evidence, verdict: Verdict) -> None:
        task = self.task
        if verdict is Verdict.RESIDENT:
            if place in self.quarantined:
                return  # met as a row and as a problem
            self.quarantined[place] = content_sha256(task.drive.path, place)
        task.scanned += 1
        task.counts[verdict.value] += 1
        if seen.row is not None and seen.row.present:
            self.rows.add(*place, seen.row.data)
            if verdict is Verdict.EQUAL:
                # The bytes are those of the file: `judge` has compared them.
                self.files.add(*place, seen.row.data)
                task.committed += 1

    def _look_again(self) -> None:
        """Count the suspects for what they are."""
        for place, seen, verdict in self.confirmation.settle(self.suspects):
            if verdict.differs:
                self.task.counts["differences"] += 1
                self.task.name(f"{place[0]}/{place[1]}: {verdict.value}")
            self._count(place, seen, verdict)
        self.suspects.clear()

    def _conclude(self) -> None:
        counts, task = self.task.counts, self.task
        for place in self.confirmation.unsettled:
            why = "its row is later than its file" if place in self.later else "stays dirty"
            task.name(f"{'/'.join(place)}: {why}")
        self.unread += len(self.confirmation.unsettled)
        counts["objects"] = self.rows.value().count
        self._tell_repairs()
        counts["quarantined"] = len(self.quarantined)
        task.notes["digest"] = str(self.rows.value())
        now = task.owner.info()
        if self.unread:
            first = "start the server, or restore, then " if self.later else ""
            raise IncompleteError(
                f"{self.unread} objects or directories could not be compared; {first}verify again"
            )
        if counts["differences"]:
            raise DifferenceError(
                f"{counts['differences']} objects differ between files and store: "
                f"{'; '.join(task.names[:3])}; "
                + (
                    "rows are the truth here: repair --strategy use-kv, or restore"
                    if self.final
                    else "run migrate, then verify again"
                )
            )
        if not self.final and self.rows.value() != self.files.value():
            raise DifferenceError(f"digests differ: rows {self.rows.value()}, files {self.files.value()}")
        if (now.epoch, now.trust_floor, now.degraded) != (self.info.epoch, self.info.trust_floor, False):
            raise IncompleteError("the store's epoch or trust floor changed meanwhile; verify again")
        self._require_waivers()

    def _tell_repairs(self) -> None:
        """Repairs since the last clean verification: a difference that was repaired was one all the same."""
        value = self.task.owner.meta(META)
        before = int(json.loads(value).get("repairs", 0)) if value else 0
        self.repairs = int(self.task.owner.meta(REPAIRS) or b"0")
        if since := self.repairs - before:
            self.task.counts["repairedSince"] = since
            self.task.warn(
                f"{since} objects were repaired since the last clean verification; know their cause"
            )

    def _require_waivers(self) -> None:
        """Each quarantined object, as it is now, must be one that somebody answers for."""
        task = self.task
        ids = {place: waiver_id(*place, sha256) for place, sha256 in self.quarantined.items()}
        waived = self.waived | ({each.id for each in all_waivers(task.owner)} if self.strict else set())
        unwaived = sorted(place for place, each in ids.items() if each not in waived)
        task.counts["unwaived"] = len(unwaived)
        task.notes["quarantineDigest"] = list_digest(ids.values())
        task.notes["waiversDigest"] = list_digest(self.waived)
        for bucket, key in unwaived:
            task.name(f"{bucket}/{key}: quarantined, sha256 {self.quarantined[bucket, key]}")
        if unwaived and self.strict:
            raise IncompleteError(
                f"{len(unwaived)} objects are not in the store, because they cannot be read: "
                f"{', '.join('/'.join(place) for place in unwaived[:3])}; mend them and run migrate, or "
                "accept each as it is with quarantine waive"
            )

    def _record(self, generation: str) -> None:
        digest = self.rows.value()
        record = {
            "time": self.task.now().isoformat(timespec="seconds"),
            "kind": "final" if self.final else "full",
            "epoch": self.info.epoch,
            "generation": generation,
            "digest": str(digest),
            "count": digest.count,
            "quarantined": len(self.quarantined),
            "repairs": self.repairs,
            "runID": self.task.run_id,
        }
        self.task.commit(meta={META: json.dumps(record).encode()})


def usable_owner(task: Task) -> OwnerInfo:
    """What the owner says of itself. Refused where the run is of another epoch, or rows prove nothing."""
    info = task.owner.info()
    if task.epoch and task.epoch != info.epoch:
        raise OwnerError(
            f"this run was ordered for epoch {task.epoch}, but the store's owner is in {info.epoch}; the "
            "target's environment has changed since"
        )
    if info.degraded:
        raise IncompleteError(
            f"the journal of {task.drive.path} broke, so rows may be older than files with no mark to say "
            "so; run migrate first"
        )
    return info
