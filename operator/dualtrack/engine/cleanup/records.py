"""What cleanup writes into the store's meta values before it touches a file, so that a crash finds its way.

- `hold/pending`: the files that are being moved now. There is at most one such batch; whoever comes next
  finishes it first.
- `hold/restored`: the number of the last batch that was moved before a whole restore. Where it is not that of
  the last one of all (`hold/number`), something is held that nothing has brought back.
- `held/EPOCH/NUMBER`: a batch that was moved, with mode, owner and time of each file and of its directory.
- `directory/HASH`: mode, owner and time of a directory as it was before cleanup first took something out of
  it. The first record stays until a restore has used it.

All is JSON; names that are no UTF-8 travel as lone surrogates, which JSON can escape.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from itertools import chain, count

import xxhash

from dualtrack.engine import drive as drives
from dualtrack.engine import naming
from dualtrack.engine.naming import MetaName
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import Fingerprint, Generation, Row
from dualtrack.engine.stores.protocol import Place

PENDING = "hold/pending"
NUMBER = "hold/number"
RESTORED = "hold/restored"
HELD = "held/"
DIRECTORY = "directory/"
CURSORS = ("hold", "purge", "directories")
_PAGE = 16


@dataclass(frozen=True, slots=True)
class HeldFile:
    """One file that is moved aside. `target` is relative to the drive; `digest` is XXH3-128 of its bytes."""

    bucket: str
    key: str
    target: str
    digest: str
    inode: int
    size: int
    mtime_ns: int
    mode: int
    uid: int
    gid: int
    directory_mode: int
    directory_uid: int
    directory_gid: int
    directory_mtime_ns: int
    term: int
    counter: int
    name: int = 0
    """The number of its `MetaName`; records of earlier builds say none."""

    @property
    def place(self) -> Place:
        return self.bucket, self.key

    @property
    def generation(self) -> Generation:
        """Of the row when the file was judged: no older row may be the one that is left."""
        return Generation(self.term, self.counter)

    @property
    def source(self) -> str:
        return naming.meta_path(self.bucket, self.key, MetaName(self.name))

    @property
    def directory(self) -> str:
        return naming.object_directory(self.bucket, self.key)

    def is_file(self, found: Fingerprint) -> bool:
        """Whether it is this file, moved or not: a rename changes ctime and nothing else."""
        return (found.inode, found.size, found.mtime_ns) == (self.inode, self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    path: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int

    def pack(self) -> bytes:
        return json.dumps(astuple(self)).encode()

    @classmethod
    def unpack(cls, data: bytes) -> DirectoryRecord:
        return cls(*json.loads(data))

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> DirectoryRecord:
        return cls(path, status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_mtime_ns)

    @property
    def name(self) -> str:
        return directory_name(self.path)


def directory_name(path: str) -> str:
    """The meta value that records the directory at `path`, relative to the drive."""
    return DIRECTORY + xxhash.xxh3_128_hexdigest(os.fsencode(path))


def content_digest(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(data)


def aside(root: str, folder: str, epoch: int, row: Row) -> str:
    """Where, relative to the drive, the file of this row is put: a name that is not taken yet."""
    name = xxhash.xxh3_128_hexdigest(os.fsencode(row.bucket) + b"\0" + os.fsencode(row.key))
    target = f"{folder}/{epoch}/{name[:2]}/{name}"
    # Held, restored and held again in one epoch, or cut off and begun again: earlier files stay.
    generation = f"{target}.{row.generation.term}-{row.generation.counter}"
    names = chain((target, generation), (f"{generation}.{again}" for again in count(2)))
    return next(name for name in names if not os.path.lexists(f"{root}/{name}"))


def hold_target(root: str, epoch: int, row: Row) -> str:
    return aside(root, drives.HOLD_DIRECTORY, epoch, row)


def pack_batch(batch: list[HeldFile]) -> bytes:
    return json.dumps([astuple(each) for each in batch], separators=(",", ":")).encode()


def unpack_batch(data: bytes) -> list[HeldFile]:
    return [HeldFile(*fields) for fields in json.loads(data)]


def held_name(epoch: int, number: int) -> str:
    return f"{HELD}{epoch:010d}/{number:012d}"


def put_down(owner: OwnerApi, epoch: int, moved: list[HeldFile]) -> dict[str, bytes | None]:
    """The meta values by which these files are held, and no longer about to be."""
    number = int(owner.meta(NUMBER) or b"0") + 1
    return {PENDING: None, NUMBER: str(number).encode(), held_name(epoch, number): pack_batch(moved)}


def forgotten(owner: OwnerApi) -> dict[str, bytes | None]:
    """The meta values after which a later cleanup begins anew: of a batch that was cut off what was moved
    stays on record as held, and no verb goes on where it was. For a drive that was restored."""
    changes: dict[str, bytes | None] = {"cursor/" + name: None for name in CURSORS}
    if (value := owner.meta(PENDING)) is not None:
        pending = unpack_batch(value)
        changes |= put_down(owner, int(pending[0].target.split("/")[2]), pending)
    if number := changes.get(NUMBER) or owner.meta(NUMBER):
        changes[RESTORED] = number
    return changes


def all_restored(meta: Mapping[str, bytes]) -> bool:
    """Whether a restore has brought back all that was ever held, by the meta values of a store."""
    return PENDING not in meta and RESTORED in meta and meta[RESTORED] == meta.get(NUMBER)


def held_batches(owner: OwnerApi, after: str | None = None) -> Iterator[tuple[str, list[HeldFile]]]:
    """Every batch that was moved, of every epoch, in the order in which they were."""
    while page := owner.meta_scan(HELD, after, _PAGE):
        for name, value in page:
            yield name, unpack_batch(value)
        after = page[-1][0]


def directory_records(owner: OwnerApi) -> Iterator[DirectoryRecord]:
    after = None
    while page := owner.meta_scan(DIRECTORY, after, 1000):
        for _, value in page:
            yield DirectoryRecord.unpack(value)
        after = page[-1][0]


def directory_record(owner: OwnerApi, path: str) -> DirectoryRecord | None:
    value = owner.meta(directory_name(path))
    return DirectoryRecord.unpack(value) if value else None


def pack_place(place: Place) -> bytes:
    return json.dumps(place).encode()


def unpack_place(data: bytes | None) -> Place | None:
    if data is None:
        return None
    bucket, key = json.loads(data)
    return bucket, key
