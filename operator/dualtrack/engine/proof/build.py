"""Makes a report: files, rows and index are read side by side once, and what was found is written down.

The digests are over rows. Each is held against its file on the way, as a verification does, so that a report
that says "Equal" is one; where something differs the report names it and says so in its verdict, because a
report that only exists when all is well could not be told from one that was lost.

On a drive whose files are held or purged there is nothing to compare a row with. The report says how many
rows that are; the proof is then the store's and the snapshot's.
"""

from __future__ import annotations

import json
import os
import platform
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

import dualtrack
from dualtrack.engine import marker, summary
from dualtrack.engine.confirming import Confirmation
from dualtrack.engine.entries import entries, json_text
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.inventory import Counts, count_inodes
from dualtrack.engine.judging import Evidence, Verdict, judge
from dualtrack.engine.listing import Problem
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.pairing import pairs
from dualtrack.engine.proof.document import RANGE_SIZE, SCHEMA, Ranges, Report
from dualtrack.engine.proof.leaves import row_leaf
from dualtrack.engine.quarantine_report import report as quarantine_report
from dualtrack.engine.rows import Row
from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.engine.waiving import all_waivers
from dualtrack.errors import RefusedError

CHECKPOINT = 1_000


@dataclass(slots=True)
class Builder:
    """`detailed` keeps some bytes of every leaf, so that a check can name the key that differs."""

    task: Task
    detailed: bool = True
    range_size: int = RANGE_SIZE
    ranges: Ranges = field(init=False)
    counts: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    verdicts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    differences: list[dict[str, object]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    doubts: set[Place] = field(default_factory=set)
    found: marker.Marker = field(init=False)

    def run(self) -> Report:
        """Read everything. What differs or could not be read is in the report's `verdict`."""
        task, info = self.task, self.task.owner.info()
        if info.degraded:
            raise RefusedError(
                f"{task.store_dir} may be older than the files: its journal broke, and no sweep has been "
                "through the drive since; run migrate, then report again"
            )
        self.found = marker.read(task.drive.path)
        self.ranges = Ranges(self.range_size, self.detailed)
        generation = task.owner.next_generation()
        task.total = sum(task.owner.stats().objects.values())
        final = self.found.state.reached(MarkerState.KV_ONLY)
        for number, (place, seen) in enumerate(pairs(task.drive, task.owner, self._failed)):
            verdict = judge(seen, info.trust_floor, final=final)
            if verdict is Verdict.MISSING_FILE and self._without_files and seen.row and seen.row.present:
                verdict = Verdict.KV_ONLY
            if verdict.differs:
                self.doubts.add(place)
            else:
                self.verdicts[verdict.value] += 1
            self._add(seen.row)
            if number % CHECKPOINT == 0:
                task.checkpoint()
        self.ranges.close()
        self._confirm(Confirmation(task, info.trust_floor, final))
        head = self._head(info.trust_floor.pack().hex(), [generation.term, generation.counter])
        task.counts.update(objects=sum(each.objects for each in self.ranges.done))
        return Report.of(head, tuple(self.ranges.done))

    @property
    def verdict(self) -> str:
        if self.unread:
            return "Incomplete"
        return "Different" if self.differences else "Equal"

    @property
    def _without_files(self) -> bool:
        return self.task.drive.held or self.found.state is MarkerState.PURGED

    def _failed(self, problem: Problem) -> None:
        if not problem.transient:
            self.doubts.add((problem.bucket, problem.key))
        elif not problem.vanished:
            self.unread.append(f"{problem.path}: {problem.reason}")

    def _add(self, row: Row | None) -> None:
        if row is None or not row.present:
            return
        counts = self.counts[row.bucket]
        listed = entries(row.bucket, row.key, xlmeta.decode(row.data))
        for entry in listed:
            counts.count(entry)
        # A file without versions is an object all the same: it has a row.
        counts.objects += not listed
        self.ranges.add(row.bucket, row.key, row_leaf(row))
        self.task.scanned += 1

    def _confirm(self, confirmation: Confirmation) -> None:
        """What differed at first sight, looked at until it is sure (`confirming.py`)."""
        for place, seen, verdict in confirmation.settle(self.doubts):
            if verdict.differs and not self._gone_as_held(verdict, seen):
                self.differences.append(
                    {"bucket": json_text(place[0]), "key": json_text(place[1]), "what": verdict.value}
                )
            self.verdicts[verdict.value] += 1
        self.unread += [f"{bucket}/{key}: stays dirty" for bucket, key in confirmation.unsettled]

    def _gone_as_held(self, verdict: Verdict, seen: Evidence) -> bool:
        return verdict is Verdict.MISSING_FILE and self._without_files and bool(seen.row and seen.row.present)

    def _head(self, trust_floor: str, generation: list[int]) -> dict[str, Any]:
        task, info = self.task, self.task.owner.info()
        buckets = [{"bucket": json_text(name), **asdict(each)} for name, each in self.counts.items()]
        return {
            "schema": SCHEMA,
            "time": task.now().isoformat(),
            "verdict": self.verdict,
            "software": {
                "name": "rustfs-dualtrack",
                "version": dualtrack.__version__,
                "python": platform.python_version(),
                "formats": {"row": envelope.SCHEMA, "index": summary.SCHEMA, "marker": marker.SCHEMA},
            },
            "drive": self._drive(),
            "marker": {**asdict(self.found), "state": str(self.found.state)},
            "store": {
                "uuid": info.store_uuid,
                "digest": str(task.owner.digest(task.stop)),
                "epoch": info.epoch,
                "fence": info.fence,
                "trustFloor": trust_floor,
                "generation": generation,
                "journalDepth": info.journal_depth,
                "engine": info.engine,
                "verified": _json_meta(task, "verified"),
                "snapshot": _json_meta(task, "snapshot"),
            },
            "counts": dict(self.verdicts),
            "buckets": buckets,
            "inodes": self._inodes(),
            "quarantine": [each.to_json() for each in quarantine_report(task.drive, task.owner)],
            "waivers": self._waivers(),
            "differences": self.differences,
            "unread": [json_text(each) for each in self.unread],
            "rangeSize": self.range_size,
        }

    def _drive(self) -> dict[str, object]:
        drive = self.task.drive
        return {
            "deploymentID": drive.deployment_id,
            "driveID": drive.drive_id,
            "systemVolume": drive.system_volume,
            "setIndex": drive.set_index,
            "driveIndex": drive.drive_index,
            "drivesPerSet": drive.drives_per_set,
            "drives": drive.drive_count,
            "held": drive.held,
        }

    def _inodes(self) -> dict[str, object]:
        """As `ledger` tells them: what the file system says of itself, and what was counted."""
        drive = self.task.drive
        system = os.statvfs(drive.path)
        counted = {name: count_inodes(drive, name, self.task.checkpoint) for name in drive.buckets()}
        return {
            "fileSystemUsed": system.f_files - system.f_ffree,
            "buckets": [{"bucket": json_text(name), "inodes": count} for name, count in counted.items()],
        }

    def _waivers(self) -> list[dict[str, object]]:
        return [
            {
                "bucket": json_text(each.bucket),
                "key": json_text(each.key),
                "sha256": each.sha256,
                "reason": each.reason,
                "time": each.time,
            }
            for each in all_waivers(self.task.owner)
        ]


def _json_meta(task: Task, name: str) -> object:
    """A record of the store. Floats would have more than one spelling; none of these has any."""
    value = task.owner.meta(name)
    return None if value is None else json.loads(value)
