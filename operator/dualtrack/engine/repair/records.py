"""What a repair writes down before it changes an object, so that the change can be taken back.

- `<drive>/.dualtrack/undo/repair/<fence>/<hash>.<generation>.*`: the row as it was (`.row`), and the file as
  it was (`.meta`, moved or linked there). Nothing in it is ever removed by us.
- meta value `repair/FENCE/GENERATION/HASH`: one object: what was done to it, and what an undo has to find. It
  goes in the transaction that takes the change back.
- meta value `audit/FENCE`: one run: who, when, by which strategy, how many objects, whether it was undone.
- meta value `repairs`: how many objects were ever repaired. It only grows, so that a repair cannot hide.

Names that are no UTF-8 travel as lone surrogates, which JSON can escape.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import xxhash

from dualtrack.engine import files, frames, naming
from dualtrack.engine.listing import Found
from dualtrack.engine.marker import CONTROL
from dualtrack.engine.metafile import MetaFile
from dualtrack.engine.naming import MetaName
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import Generation, Row
from dualtrack.engine.stores.protocol import Place
from dualtrack.errors import StoreCorruptError, UsageError

FOLDER = f"{CONTROL}/undo/repair"
RECORD = "repair/"
AUDIT = "audit/"
REPAIRS = "repairs"
_PAGE = 256


@dataclass(frozen=True, slots=True)
class Repaired:
    """One object as it was. `file_before` and `file_after` are digests of the file (`file_digest`), empty
    where there is none; `summary` is the index entry in hex; `had_row` says whether a row was kept.
    """

    fence: int
    bucket: str
    key: str
    action: str
    term: int
    counter: int
    had_row: bool
    summary: str
    versions: int
    file_before: str
    file_after: str
    #: The number of its file's `MetaName`; records of earlier builds say none.
    name: int = 0
    #: Of what the repair makes the row say (`row_digest`). An undo of a later repair gives the row back under
    #: another generation, so the generation alone does not tell.
    row_after: str = ""

    @property
    def path(self) -> str:
        """Its file, relative to the drive."""
        return naming.meta_path(self.bucket, self.key, MetaName(self.name))

    @property
    def place(self) -> Place:
        return self.bucket, self.key

    @property
    def generation(self) -> Generation:
        """Of the row that the repair puts."""
        return Generation(self.term, self.counter)

    @property
    def meta_name(self) -> str:
        return f"{RECORD}{self.fence:012d}/{self.term:010d}-{self.counter:020d}/{place_hash(self.place)}"

    def kept(self, drive: str, what: str) -> str:
        """The path of what is kept of it: its `row`, its file (`meta`), or what an undo `replaced`."""
        return f"{folder(drive, self.fence)}/{place_hash(self.place)}.{self.term}-{self.counter}.{what}"

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Repaired:
        return cls(**json.loads(data))


@dataclass(frozen=True, slots=True)
class Audit:
    """One run. `state` is `begun`, `done` or `undone`; times are RFC 3339."""

    fence: int
    run_id: str
    verb: str
    began: str
    objects: int
    state: str = "begun"
    ended: str = ""

    @property
    def meta_name(self) -> str:
        return f"{AUDIT}{self.fence:012d}"

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Audit:
        return cls(**json.loads(data))


def audits(owner: OwnerApi) -> Iterator[Audit]:
    """Every run, oldest first."""
    after = None
    while page := owner.meta_scan(AUDIT, after, _PAGE):
        yield from (Audit.unpack(value) for _, value in page)
        after = page[-1][0]


def require_free(owner: OwnerApi, audit: Audit) -> None:
    """`UsageError` where another verb's run had this fence: its record says how it is taken back."""
    value = owner.meta(audit.meta_name)
    if value is not None and (known := Audit.unpack(value)).verb != audit.verb:
        raise UsageError(
            f"the run {known.run_id} ({known.verb}) had the fence {audit.fence}, and its record must stay; "
            "nothing was changed: give this run a fence of its own"
        )


def repaired(owner: OwnerApi, fence: int) -> list[Repaired]:
    """What a run has changed and nobody has taken back, newest first."""
    prefix, after = f"{RECORD}{fence:012d}/", None
    found: list[Repaired] = []
    while page := owner.meta_scan(prefix, after, _PAGE):
        found += [Repaired.unpack(value) for _, value in page]
        after = page[-1][0]
    return found[::-1]


def places(owner: OwnerApi) -> set[Place]:
    """Every object that a repair has changed and no undo has given back."""
    found: set[Place] = set()
    after = None
    while page := owner.meta_scan(RECORD, after, _PAGE):
        found.update(Repaired.unpack(value).place for _, value in page)
        after = page[-1][0]
    return found


def place_hash(place: Place) -> str:
    return xxhash.xxh3_128_hexdigest(os.fsencode(place[0]) + b"\0" + os.fsencode(place[1]))


def file_digest(file: MetaFile | Found) -> str:
    """Of all that a repair of the file may change: bytes, mode, owner and time."""
    return _digest(file.data, file.mode, file.uid, file.gid, file.fingerprint.mtime_ns)


def row_digest(row: Row) -> str:
    """Of what a row says of its object. Not of its generation, nor of the file that backs it."""
    head = (int(row.state), int(row.origin), int(row.name), row.mode, row.uid, row.gid, row.mtime_ns)
    return _digest(row.data, *head)


def written_digest(row: Row) -> str:
    """Of the file that is written from this row."""
    return _digest(row.data, row.mode, row.uid, row.gid, row.mtime_ns)


def _digest(data: bytes, *attributes: int) -> str:
    return xxhash.xxh3_128_hexdigest(",".join(map(str, attributes)).encode() + b"\0" + data)


def folder(drive: str, fence: int) -> str:
    return f"{drive}/{FOLDER}/{fence:012d}"


def keep_row(drive: str, record: Repaired, row: Row) -> None:
    """Durable but for the directory."""
    files.write_new(record.kept(drive, "row"), frames.row_bytes(row))


def read_row(drive: str, record: Repaired) -> Row:
    """`StoreCorruptError` where it is not the row that was kept."""
    path = record.kept(drive, "row")
    data, _ = files.read_regular(path, frames.MAX_FRAME)
    row = frames.row_of_bytes(data)
    if (row.bucket, row.key) != record.place:
        raise StoreCorruptError(f"{path} holds the row of {row.bucket}/{row.key}; nothing was changed")
    return row
