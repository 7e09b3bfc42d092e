"""Sampled verification: some objects, drawn by a keyed hash, each held against its row as `verify` does it
all.

Drawn from both sides: from the drive those that have a file, from the index those that have none. What it
says is said with its size: seed, round, how many were looked at, and the bound on the share that differs.
Objects that deserve a closer look (`strata.py`) come on top and are counted apart. A clean round is recorded,
so that the next run takes the next slice; a round with a difference is not, so that the next run looks at the
same objects again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dualtrack.engine import candidates
from dualtrack.engine.candidates import Missed
from dualtrack.engine.confirming import Confirmation, Judged, doubtful
from dualtrack.engine.drafts import settle_journal
from dualtrack.engine.judging import Verdict
from dualtrack.engine.owner_api import OwnerApi, OwnerInfo
from dualtrack.engine.places import object_exists
from dualtrack.engine.repair import records
from dualtrack.engine.sampling import MILLION, Sample, bound_ppm
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.strata import CLOSER, Stratum, stratum_of
from dualtrack.engine.summary import Summary
from dualtrack.engine.task import Task
from dualtrack.engine.verify import usable_owner
from dualtrack.errors import DifferenceError, IncompleteError, StoreError

META = "sampled"
BATCH = 256
NOT_YET = "notYet"
"""Counts what the sweep of this epoch has not brought into the store yet."""
_BEFORE_THE_SWEEP = frozenset({Verdict.MISSING_ROW, Verdict.UNTRUSTED, Verdict.NOT_SET_ASIDE})


def next_sample(owner: OwnerApi, ppm: int, seed: str = "", number: int | None = None) -> Sample:
    """The sample that follows the last clean one of the same seed and size; the seed is the store's own where
    none is given.
    """
    seed = seed or owner.info().store_uuid
    value = owner.meta(META)
    last = json.loads(value) if value else {}
    if number is None:
        number = last["round"] + 1 if (last.get("seed"), last.get("ppm")) == (seed, ppm) else 0
    return Sample(ppm, seed, number)


@dataclass(slots=True)
class SampledVerification:
    """`DifferenceError` for a difference that a second look confirmed."""

    task: Task
    sample: Sample
    final: bool = False
    looked_at: int = 0
    differences: int = 0
    unread: int = 0
    #: Which of those that are being looked at are not of the uniform sample; and what was found of each kind.
    closer: dict[Place, Stratum] = field(default_factory=dict)
    strata: dict[Stratum, list[int]] = field(default_factory=dict)
    suspects: set[Place] = field(default_factory=set)
    swept: bool = field(init=False)
    info: OwnerInfo = field(init=False)
    confirmation: Confirmation = field(init=False)

    def run(self) -> None:
        task = self.task
        self.info = usable_owner(task)
        settle_journal(task)
        self.swept = int(task.owner.meta("swept_epoch") or b"-1") >= self.info.epoch
        self.confirmation = Confirmation(task, self.info.trust_floor, self.final)
        choose = self.sample.chooser()
        self._compare(self._on_drive(choose))
        self._compare(self._from_index(choose))
        self._settle()
        self._conclude()

    def _on_drive(self, choose: candidates.Choose) -> Iterable[Place]:
        for found in candidates.on_drive(self.task.drive, choose, self._tick):
            if not isinstance(found, Missed):
                yield found
            elif not found.problem.vanished:
                self.unread += 1
                self.task.name(f"{found.problem.path}: {found.problem.reason}")

    def _from_index(self, uniform: candidates.Choose) -> Iterable[Place]:
        """Chosen objects that have no file, and those that deserve a closer look."""
        task = self.task
        wide = replace(self.sample, ppm=min(self.sample.ppm * CLOSER, MILLION)).chooser()
        now_ns = int(task.now().timestamp()) * 1_000_000_000
        repaired = {place for place in records.places(task.owner) if not uniform(*place)}
        self.closer.update(dict.fromkeys(repaired, Stratum.REPAIRED))
        yield from sorted(repaired)
        either = lambda bucket, key: uniform(bucket, key) or wide(bucket, key)  # noqa: E731
        for place, entry in candidates.in_index(task.owner, either, self._tick):
            if uniform(*place):
                if not object_exists(task.drive.path, place):
                    yield place
            elif place not in repaired and (stratum := _stratum(entry, now_ns)):
                self.closer[place] = stratum
                yield place

    def _tick(self, names: int) -> None:
        self.task.scanned += names
        self.task.checkpoint()

    def _compare(self, places: Iterable[Place]) -> None:
        batch: list[Place] = []
        for place in places:
            batch.append(place)
            if len(batch) >= BATCH:
                self._look(batch)
                batch = []
        self._look(batch)

    def _look(self, batch: list[Place]) -> None:
        for judged in self.confirmation.look(batch):
            if doubtful(judged):
                self.suspects.add(judged[0])
            else:
                self._count(judged)
        if len(self.suspects) >= BATCH:
            self._settle()

    def _settle(self) -> None:
        for judged in self.confirmation.settle(self.suspects):
            self._count(judged)
        self.suspects.clear()

    def _count(self, judged: Judged) -> None:
        task, ((bucket, key), _, verdict) = self.task, judged
        if verdict is Verdict.ABSENT:
            return  # deleted meanwhile, on both sides
        if not self.swept and verdict in _BEFORE_THE_SWEEP:
            task.counts[NOT_YET] += 1
            return
        stratum = self.closer.pop((bucket, key), None)
        if stratum is None:
            self.looked_at += 1
            self.differences += verdict.differs
        else:
            found = self.strata.setdefault(stratum, [0, 0])
            found[0] += 1
            found[1] += verdict.differs
        task.counts[verdict.value] += 1
        if verdict.differs:
            task.counts["differences"] += 1
            task.name(f"{bucket}/{key}: {verdict.value}")

    def _conclude(self) -> None:
        task, sample = self.task, self.sample
        closer = sum(number for number, _ in self.strata.values())
        task.counts["sampled"], task.committed = self.looked_at, self.looked_at + closer
        told = {
            "seed": sample.seed,
            "ppm": sample.ppm,
            "round": sample.number,
            "rounds": sample.rounds,
            "n": self.looked_at,
            "differences": self.differences,
            "atMostPpm": bound_ppm(self.differences, self.looked_at),
            "strata": {each.value: found for each, found in sorted(self.strata.items())},
        }
        task.notes["sample"] = told
        for bucket, key in self.confirmation.unsettled:
            task.name(f"{bucket}/{key}: cannot be compared now")
        if differences := task.counts["differences"]:
            raise DifferenceError(
                f"{differences} of {self.looked_at + closer} sampled objects differ between files and store: "
                f"{'; '.join(task.names[:3])}; run verify for all of them (to see these again: --seed "
                f"{sample.seed} --round {sample.number})"
            )
        self.unread += len(self.confirmation.unsettled)
        if self.unread:
            raise IncompleteError(f"{self.unread} objects or directories could not be compared; sample again")
        now = task.owner.info()
        if (now.epoch, now.trust_floor, now.degraded) != (self.info.epoch, self.info.trust_floor, False):
            raise IncompleteError("the store's epoch or trust floor changed meanwhile; sample again")
        record = told | {"time": task.now().isoformat(timespec="seconds"), "epoch": self.info.epoch}
        task.commit(meta={META: json.dumps(record | {"runID": task.run_id}).encode()})
        task.notes["message"] = (
            f"{self.looked_at} sampled objects of {task.drive.path} are equal: at most {told['atMostPpm']} "
            f"in a million differ (95 % confidence; round {sample.number} of seed {sample.seed}, "
            f"{sample.rounds} rounds see all)"
        )


def _stratum(entry: bytes, now_ns: int) -> Stratum | None:
    try:
        return stratum_of(Summary.unpack(entry), now_ns)
    except StoreError:
        return Stratum.UNREADABLE
