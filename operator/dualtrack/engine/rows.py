"""The words that every part of the engine shares: a row, its generation, the file it was read from.

A row is the metadata of one object on one drive: the exact bytes of its `xl.meta`, and what is needed to put
that file back as it was. Nothing here does I/O, and nothing here knows how a store lays rows out.

`bucket` and `key` are `str` that hold the file system's bytes by `surrogateescape`; their order is the order
of those bytes, which is S3's order. A bucket that starts with "." is a system volume: kept and restored,
never listed, counted or cleaned.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from enum import IntEnum

from dualtrack.engine import naming
from dualtrack.engine.naming import MetaName

_GENERATION = struct.Struct(">IQ")
_FINGERPRINT = struct.Struct(">QQqq")


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """Orders the writes of one object. `term` rises with every owner, `counter` within it; neither is a
    clock.
    """

    term: int
    counter: int

    def pack(self) -> bytes:
        """12 bytes whose order is the order of generations."""
        return _GENERATION.pack(self.term, self.counter)

    @classmethod
    def unpack(cls, data: bytes) -> Generation:
        return cls(*_GENERATION.unpack(data))


ZERO = Generation(0, 0)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells one file from the next under the same name. No device number: it changes between boots."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Fingerprint:
        return cls(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def pack(self) -> bytes:
        return _FINGERPRINT.pack(self.inode, self.size, self.mtime_ns, self.ctime_ns)

    @classmethod
    def unpack(cls, data: bytes) -> Fingerprint:
        return cls(*_FINGERPRINT.unpack(data))

    def moved(self, other: Fingerprint) -> bool:
        """Whether `other` is the same file after a rename, which changes ctime and nothing else."""
        return (self.inode, self.size, self.mtime_ns) == (other.inode, other.size, other.mtime_ns)


NO_FILE = Fingerprint(0, 0, 0, 0)


class RowState(IntEnum):
    PRESENT = 1
    TOMBSTONE = 2
    #: Quarantined or waived: whoever reads it goes to the file system, in every mode.
    FS_RESIDENT = 3


class RowOrigin(IntEnum):
    #: Read from a file that lay on the drive.
    FS = 1
    #: Committed in `kv_only`: no file holds it, so no sweep may replace it.
    KV = 2


@dataclass(frozen=True, slots=True)
class RowDraft:
    """A row without its generation: what somebody who has read an `xl.meta` hands to the owner.

    `summary` is the packed index entry (see `engine/entries.py`); empty for a system volume, which has none.
    A reader that finds bytes it cannot decode hands over `state=FS_RESIDENT`.
    """

    fingerprint: Fingerprint
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    data: bytes
    summary: bytes
    state: RowState = RowState.PRESENT
    origin: RowOrigin = RowOrigin.FS
    #: How many versions `data` holds, for the store's counters.
    versions: int = 1
    name: MetaName = MetaName.XL_META


@dataclass(frozen=True, slots=True)
class Row:
    bucket: str
    key: str
    generation: Generation
    state: RowState
    origin: RowOrigin
    fingerprint: Fingerprint
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    data: bytes
    name: MetaName = MetaName.XL_META

    @classmethod
    def of(cls, bucket: str, key: str, generation: Generation, draft: RowDraft) -> Row:
        return cls(
            bucket,
            key,
            generation,
            draft.state,
            draft.origin,
            draft.fingerprint,
            draft.mode,
            draft.uid,
            draft.gid,
            draft.mtime_ns,
            draft.data,
            draft.name,
        )

    @classmethod
    def tombstone(
        cls, bucket: str, key: str, generation: Generation, origin: RowOrigin = RowOrigin.FS
    ) -> Row:
        """The row that says "deleted at this generation", so that no older read resurrects the object."""
        return cls(bucket, key, generation, RowState.TOMBSTONE, origin, NO_FILE, 0, 0, 0, 0, b"")

    @property
    def path(self) -> str:
        """Its file, relative to the drive."""
        return naming.meta_path(self.bucket, self.key, self.name)

    @property
    def present(self) -> bool:
        return self.state is RowState.PRESENT

    def same_content(self, other: Row) -> bool:
        """Whether both say the same of the object, whatever their generations."""
        return (
            self.state,
            self.origin,
            self.fingerprint,
            self.mode,
            self.uid,
            self.gid,
            self.mtime_ns,
            self.data,
            self.name,
        ) == (
            other.state,
            other.origin,
            other.fingerprint,
            other.mode,
            other.uid,
            other.gid,
            other.mtime_ns,
            other.data,
            other.name,
        )


def is_system(bucket: str) -> bool:
    """Whether `bucket` is a system volume (`.minio.sys`, `.rustfs.sys`): restored, never listed or
    cleaned.
    """
    return bucket.startswith(".")


def order(bucket: str, key: str) -> tuple[bytes, bytes]:
    """Sort key of (bucket, key) in listing order."""
    return os.fsencode(bucket), os.fsencode(key)
