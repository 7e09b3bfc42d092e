"""What is written down of an orphan before it is moved, so that a crash finds its way and an undo has one.

Meta value `orphan/FENCE/HASH`: one data directory, where it lay and where it was put. It is there before the
rename; one whose `target` is missing was not moved (or was purged halfway), and whoever comes next forgets
it. Names that are no UTF-8 travel as lone surrogates, which JSON can escape.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

import xxhash

from dualtrack.engine.marker import CONTROL
from dualtrack.engine.owner_api import OwnerApi

FOLDER = f"{CONTROL}/orphans"
PREFIX = "orphan/"
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Orphan:
    """`source` and `target` are relative to the drive; `collected` is RFC 3339."""

    run_id: str
    fence: int
    source: str
    target: str
    inode: int
    files: int
    size: int
    collected: str

    @classmethod
    def of(cls, run_id: str, fence: int, source: str, inode: int, now: datetime) -> Orphan:
        name = _hash(source)
        target = f"{FOLDER}/{fence:012d}/{name[:2]}/{name}"
        return cls(run_id, fence, source, target, inode, 0, 0, now.isoformat(timespec="seconds"))

    @property
    def meta_name(self) -> str:
        return f"{PREFIX}{self.fence:012d}/{_hash(self.source)}"

    def age_seconds(self, now: datetime) -> float:
        return (now - datetime.fromisoformat(self.collected)).total_seconds()

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Orphan:
        return cls(**json.loads(data))


def collected(owner: OwnerApi) -> Iterator[Orphan]:
    """Everything that lies aside, the oldest collection first."""
    after = None
    while page := owner.meta_scan(PREFIX, after, _PAGE):
        yield from (Orphan.unpack(value) for _, value in page)
        after = page[-1][0]


def _hash(source: str) -> str:
    return xxhash.xxh3_128_hexdigest(os.fsencode(source))
