"""The S3 view of several drives or stores, streamed in key order, one object's copies in memory at a time.

Each source gives the objects of a bucket in the byte order of their keys. They are merged by key, decided set
by set (`merge.py`) and united over sets. What a source cannot read makes that drive unknown for the object,
and a directory that cannot be listed for everything below it: the others then decide if they can, and what
they cannot decide is named as a problem, never left out silently.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from dualtrack.engine.drive import Drive
from dualtrack.engine.entries import Entry, version_entry
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.inventory import Tally, in_key_order
from dualtrack.engine.listing import DirectoryReader, Found, Problem
from dualtrack.engine.sets.merge import Copy, Deviation, Held, merge, unite
from dualtrack.engine.sets.topology import Deployment, DriveSet
from dualtrack.errors import CorruptError, FormatError, UnsupportedFormatError

_NAMES = 10


class Source(Protocol):
    """One drive's objects, from its files or from its store."""

    @property
    def drive(self) -> Drive: ...

    @property
    def buckets(self) -> frozenset[str]: ...

    def objects(self, bucket: str) -> Iterator[Found | Problem]:
        """In the byte order of keys; a problem comes no later than what it hides would."""


@dataclass(frozen=True, slots=True)
class DriveSource:
    drive: Drive
    buckets: frozenset[str]
    reader: DirectoryReader

    @classmethod
    def of(cls, drive: Drive) -> DriveSource:
        return cls(drive, frozenset(drive.buckets()), DirectoryReader(drive.path))

    def objects(self, bucket: str) -> Iterator[Found | Problem]:
        return in_key_order(self.reader, bucket)


@dataclass(slots=True)
class Deviations:
    """What single drives have that their set has not, or the other way round: counts, and the first names."""

    counts: Counter[tuple[str, Deviation]] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)

    def add(self, drive: Drive, bucket: str, key: str, version_key: str, deviation: Deviation) -> None:
        self.counts[drive.path, deviation] += 1
        if len(self.names) < _NAMES:
            version = f" {version_key}" if version_key else ""
            self.names.append(f"{drive.path}: {bucket}/{key}{version}: {deviation}")

    def of(self, deviation: Deviation) -> int:
        return sum(count for (_, each), count in self.counts.items() if each is deviation)

    def summary(self) -> Iterator[str]:
        """One line a drive that deviates."""
        for path in sorted({path for path, _ in self.counts}):
            figures = (f"{self.counts[path, each]} {each}" for each in Deviation if self.counts[path, each])
            yield f"{path}: {', '.join(figures)}"


@dataclass(slots=True)
class _Reading:
    """One source while a bucket is read. `blind` names what could not be read, and so what lies below it."""

    source: Source
    place: int
    blind: list[str] = field(default_factory=list)

    def sees(self, key: str) -> bool:
        return not any(key == each or key.startswith(f"{each}/") or not each for each in self.blind)


@dataclass(slots=True)
class SetView:
    """`bodies`: compare decoded bodies of copies whose headers agree, too (`Deviation.DIVERGED`)."""

    deployment: Deployment
    sources: Sequence[Source]
    bodies: bool = False
    deviations: Deviations = field(default_factory=Deviations)

    def buckets(self) -> list[str]:
        """The server's buckets in byte order: those that half of a set's drives have, or could have.

        A drive that was away may have a bucket that was deleted meanwhile.
        """
        having: Counter[tuple[int, str]] = Counter()
        at = {
            drive.drive_id: index for index, each in enumerate(self.deployment.sets) for drive in each.named
        }
        for source in self.sources:
            having.update((at[source.drive.drive_id], bucket) for bucket in source.buckets)
        found = {
            bucket
            for (index, bucket), count in having.items()
            if 2 * (count + len(self.deployment.sets[index].missing)) >= self.deployment.sets[index].size
        }
        for source in self.sources:
            for bucket in source.buckets - found:
                self.deviations.add(source.drive, bucket, "", "", Deviation.EXTRA)
        return sorted(found, key=os.fsencode)

    def notes(self) -> Iterator[str]:
        """What somebody should know who takes this for the server's view."""
        yield from (f"not named: {each}" for each in self.deployment.missing())
        yield from (f"deviates: {each}" for each in self.deviations.summary())
        yield from (f"for example {each}" for each in self.deviations.names)

    def entries(self, bucket: str, tally: Tally) -> Iterator[Entry]:
        """Every version that the sets hold, as S3 lists them; what nobody can decide goes to the tally."""
        counts = tally.counts(bucket)
        for key, versions in self.objects(bucket, tally):
            for number, held in enumerate(versions):
                entry = _entry(bucket, key, held, latest=number == 0)
                if isinstance(entry, Problem):
                    tally.fail(entry)
                    continue
                counts.count(entry)
                yield entry

    def objects(self, bucket: str, tally: Tally) -> Iterator[tuple[str, list[Held]]]:
        """Key by key what the sets hold of it, newest first; nothing of keys that they do not hold.

        Whoever has seen enough may close it: what could not be decided up to there is told then.
        """
        reading = _Bucket(self, bucket, tally)
        streams = [reading.stream(number) for number in range(len(self.sources))]
        reached: bytes | None = b""
        try:
            for reached, copies in groupby(heapq.merge(*streams, key=_key), key=_key):
                name = os.fsdecode(reached)
                versions = reading.decide(name, {number: meta for _, number, meta in copies})
                if versions:
                    yield name, versions
            reached = None
        finally:
            reading.decide_unseen(reached)


class _Bucket:
    """One bucket on all sources: their streams, and the decision for each key that comes out of them."""

    def __init__(self, view: SetView, bucket: str, tally: Tally) -> None:
        self._view = view
        self._bucket = bucket
        self._tally = tally
        by_id = {source.drive.drive_id: number for number, source in enumerate(view.sources)}
        self._readings: dict[int, _Reading] = {}
        self._sets: list[tuple[DriveSet, list[int]]] = []
        for drives in view.deployment.sets:
            numbers = [by_id[drive.drive_id] for drive in drives.named]
            self._sets.append((drives, numbers))
            for place, drive in enumerate(drives.drives):
                if drive is not None:
                    number = by_id[drive.drive_id]
                    self._readings[number] = _Reading(view.sources[number], place)
        # Keys that some drive could not read, until a drive that can has shown them.
        self._unseen: set[str] = set()

    def stream(self, number: int) -> Iterator[tuple[bytes, int, XlMeta]]:
        """The objects that this source can read; where it cannot, it is blind."""
        reading = self._readings[number]
        if self._bucket not in reading.source.buckets:
            return
        for found in reading.source.objects(self._bucket):
            if isinstance(found, Found):
                try:
                    meta = xlmeta.decode(found.data)
                    self._tally.counts(self._bucket).count_form(meta)
                    yield os.fsencode(found.key), number, meta
                    continue
                except (CorruptError, UnsupportedFormatError):
                    pass
            reading.blind.append(found.key)
            self._unseen.add(found.key)
            self._deviates(reading.source.drive, found.key, "", Deviation.DAMAGED)

    def decide(self, key: str, found: dict[int, XlMeta]) -> list[Held]:
        """The versions of this key; undecided ones go to the tally."""
        self._unseen.discard(key)
        by_set: list[tuple[Held, ...]] = []
        for drives, numbers in self._sets:
            copies = [
                Copy(self._readings[number].place, found.get(number))
                for number in numbers
                if self._readings[number].sees(key)
            ]
            if not any(copy.meta is not None for copy in copies):
                self._decide_blindly(drives, numbers, key)
                continue
            merged = merge(copies, drives.size, bodies=self._view.bodies)
            by_set.append(merged.versions)
            for version_key in merged.undecided:
                self._fail(key, version_key, drives.size - len(copies), drives.size)
            for deviant in merged.deviants:
                drive = drives.drives[deviant.place]
                assert drive is not None
                self._deviates(drive, key, deviant.version_key, deviant.deviation)
        return unite(by_set)

    def decide_unseen(self, before: bytes | None) -> None:
        """At the end, or before a key: keys that only drives have that cannot read them."""
        for key in sorted(each for each in self._unseen if before is None or os.fsencode(each) < before):
            for drives, numbers in self._sets:
                self._decide_blindly(drives, numbers, key)

    def _decide_blindly(self, drives: DriveSet, numbers: Sequence[int], key: str) -> None:
        """Nobody who sees has this key: undecided where the blind ones could hold it between them."""
        blind = sum(not self._readings[number].sees(key) for number in numbers)
        if blind and blind + len(drives.missing) >= (drives.size + 1) // 2:
            self._fail(key, "", blind + len(drives.missing), drives.size)

    def _deviates(self, drive: Drive, key: str, version_key: str, deviation: Deviation) -> None:
        self._view.deviations.add(drive, self._bucket, key, version_key, deviation)

    def _fail(self, key: str, version_key: str, unseen: int, size: int) -> None:
        self._tally.fail(_undecided(self._bucket, key, version_key, unseen, size))


def _key(item: tuple[bytes, int, XlMeta]) -> bytes:
    return item[0]


def _undecided(bucket: str, key: str, version_key: str, unseen: int, size: int) -> Problem:
    what = f"{bucket}/{key}" + (f" version {version_key}" if version_key else "")
    message = f"{what} cannot be decided: {unseen} of the set's {size} drives were not seen"
    return Problem(bucket, key, f"{bucket}/{key}", "no-quorum", message, True)


def _entry(bucket: str, key: str, held: Held, *, latest: bool) -> Entry | Problem:
    """From the first drive whose body can be read."""
    for meta, version in held.copies:
        try:
            return version_entry(bucket, key, meta, version, latest)
        except FormatError as error:
            last = error
    reason = last.reason if isinstance(last, CorruptError | UnsupportedFormatError) else "body"
    where = f"{bucket}/{key}"
    return Problem(bucket, key, where, reason, f"{where} on every drive: {last}", False)
