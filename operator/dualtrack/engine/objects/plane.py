"""What a mode of `data-plane.md`'s table means for one object: where its metadata is read and written.

A plane deals in `xl.meta` bytes. Content (data directories) and S3's rules lie above it, in `writes` and
`reads`, and are the same in every mode. Callers of `change`, `save`, `erase` hold its stripe lock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.metafile import MetaFile
from dualtrack.engine.objects.cursors import FsSummaries, IndexCursor
from dualtrack.engine.objects.documents import Track
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.fs_walk import FsCursor
from dualtrack.engine.objects.kv_track import NO_REFERENCES, KvTrack, References
from dualtrack.engine.objects.pages import Cursor
from dualtrack.engine.objects.types import Meter
from dualtrack.engine.summary import Summary


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys that a listing needs: with `prefix`, not before `start`, some `expected` of them, one a common
    prefix where `rolled`."""

    bucket: str
    prefix: str
    start: str
    expected: int
    rolled: bool


class Plane(Protocol):
    fs: FsTrack
    fallback: bool
    """Whether the drive may list where the index fails."""

    def track(self, bucket: str, key: str) -> Track:
        """Which track answers a request for this key."""

    def load(self, bucket: str, key: str) -> bytes | None:
        """The metadata to answer a read with; None if there is no object. `Unavailable` if nobody knows."""

    def change(self, bucket: str, key: str) -> bytes | None:
        """The metadata that a change has to start from."""

    def admit(self, bucket: str, key: str) -> None:
        """Raise `InvalidKey` if a new object of this key has no place beside those that are there."""

    def save(
        self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References = NO_REFERENCES
    ) -> None:
        """Make `data`, which `meta` is decoded from, the object's metadata; durable on return. `references`
        go into the row's transaction where the row is committed here."""

    def erase(self, bucket: str, key: str, references: References = NO_REFERENCES) -> None:
        """Leave no object of this key; durable on return."""

    def objects(self, wanted: Wanted) -> Cursor[Summary]: ...

    def versions(self, wanted: Wanted) -> Cursor[XlMeta]: ...

    def clear_leftovers(self, bucket: str) -> None:
        """Remove the files of objects that are deleted for certain, before their bucket is."""

    def objects_on_drive(self, wanted: Wanted) -> Cursor[Summary]: ...

    def versions_on_drive(self, wanted: Wanted) -> Cursor[XlMeta]: ...


class FsPlane:
    """`fs` with ratio 0: files alone."""

    def __init__(self, fs: FsTrack, meter: Meter) -> None:
        self.fs = fs
        self.meter = meter
        self.fallback = False

    def track(self, bucket: str, key: str) -> Track:
        return "fs"

    def load(self, bucket: str, key: str) -> bytes | None:
        found = self.read_file(bucket, key)
        return None if found is None else found.data

    def change(self, bucket: str, key: str) -> bytes | None:
        return FsPlane.load(self, bucket, key)

    def admit(self, bucket: str, key: str) -> None:
        """The drive itself refuses what it has no place for."""

    def save(
        self, bucket: str, key: str, meta: XlMeta, data: bytes, references: References = NO_REFERENCES
    ) -> None:
        self.write_file(bucket, key, data)

    def erase(self, bucket: str, key: str, references: References = NO_REFERENCES) -> None:
        self.fs.remove(bucket, key)

    def objects(self, wanted: Wanted) -> Cursor[Summary]:
        return self.objects_on_drive(wanted)

    def versions(self, wanted: Wanted) -> Cursor[XlMeta]:
        return self.versions_on_drive(wanted)

    def objects_on_drive(self, wanted: Wanted) -> Cursor[Summary]:
        return FsSummaries(FsCursor(self.fs, wanted.bucket, wanted.prefix, wanted.start))

    def versions_on_drive(self, wanted: Wanted) -> Cursor[XlMeta]:
        return FsCursor(self.fs, wanted.bucket, wanted.prefix, wanted.start)

    def clear_leftovers(self, bucket: str) -> None:
        """Nothing is left of objects that are deleted where files are the truth."""

    def read_file(self, bucket: str, key: str) -> MetaFile | None:
        began = time.perf_counter()
        found = self.fs.read(bucket, key)
        self.meter.observe("rustfs_fs_read_latency_ms", (time.perf_counter() - began) * 1000, {})
        return found

    def write_file(self, bucket: str, key: str, data: bytes) -> MetaFile:
        began = time.perf_counter()
        written = self.fs.write(bucket, key, data)
        self.meter.observe("rustfs_fs_write_latency_ms", (time.perf_counter() - began) * 1000, {})
        return written


def index_cursor(kv: KvTrack, wanted: Wanted) -> IndexCursor:
    """The index in batches of the size that the listing is likely to need: with the key to go on after, and
    one that says whether there is more."""
    batch = 16 if wanted.rolled else wanted.expected + 2
    return IndexCursor(kv, wanted.bucket, wanted.prefix, wanted.start, batch)
