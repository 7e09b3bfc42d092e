"""What one object's file, row and index entry say of each other: a pure function, one verdict an object.

Verification is this function over every object, twice where the first answer is not "equal".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dualtrack.engine.drafts import draft_of_found
from dualtrack.engine.listing import Found, Problem
from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState


class Verdict(StrEnum):
    EQUAL = "equal"
    #: Neither has it, or a tombstone says so.
    ABSENT = "absent"
    #: In quarantine: the row points to the file.
    RESIDENT = "resident"
    #: `kv_only` has overwritten or deleted it since the cut-over; the file that is left is older.
    SUPERSEDED = "superseded"
    #: Written in `kv_only`: no file, as it should be.
    KV_ONLY = "kvOnly"

    MISSING_ROW = "missingRow"
    MISSING_FILE = "missingFile"
    CONTENT = "content"
    ATTRIBUTES = "attributes"
    #: The row is older than the trust floor, or the file may be newer and nobody would know.
    UNTRUSTED = "untrusted"
    INDEX = "index"
    #: A file that its row calls deleted.
    DELETED = "deleted"
    #: Cannot be decoded, and no row says so.
    NOT_SET_ASIDE = "notSetAside"
    #: The row does not match its own check: flipped, cut, or the row of another key.
    DAMAGED_ROW = "damagedRow"

    @property
    def differs(self) -> bool:
        return self in _DIFFERENCES


_DIFFERENCES = frozenset(
    {
        Verdict.MISSING_ROW,
        Verdict.MISSING_FILE,
        Verdict.CONTENT,
        Verdict.ATTRIBUTES,
        Verdict.UNTRUSTED,
        Verdict.INDEX,
        Verdict.DELETED,
        Verdict.NOT_SET_ASIDE,
        Verdict.DAMAGED_ROW,
    }
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """`file` is a Problem where there is one that cannot be read for what it is; `entry` the index entry.
    `damage` says what is wrong with a row that is there and cannot be unpacked.
    """

    file: Found | Problem | None
    row: Row | None
    entry: bytes | None
    damage: str = ""


def judge(seen: Evidence, floor: Generation, *, final: bool) -> Verdict:
    """`final`: the drive is at `kv_only`, so that rows may be newer than files."""
    row = seen.row
    if seen.damage:
        return Verdict.DAMAGED_ROW
    if row is None and seen.file is None and seen.entry is not None:
        return Verdict.INDEX
    if row is None:
        return Verdict.ABSENT if seen.file is None else Verdict.MISSING_ROW
    if final and row.origin is RowOrigin.KV:
        return _in_kv_only(seen, row)
    if row.state is RowState.TOMBSTONE:
        if seen.entry is not None:
            return Verdict.INDEX
        if seen.file is not None:
            return Verdict.DELETED
        # Below the floor a data plane that believes rows alone would not know whether the key is free.
        return Verdict.UNTRUSTED if row.generation < floor else Verdict.ABSENT
    if seen.file is None:
        without = row.state is RowState.FS_RESIDENT and row.fingerprint == NO_FILE
        return Verdict.RESIDENT if without and seen.entry is None else Verdict.MISSING_FILE
    if row.generation < floor:
        return Verdict.UNTRUSTED
    return _compare(seen.file, row, seen.entry)


def _in_kv_only(seen: Evidence, row: Row) -> Verdict:
    if row.present != (seen.entry is not None):
        return Verdict.INDEX
    if seen.file is not None:
        return Verdict.SUPERSEDED
    return Verdict.KV_ONLY if row.present else Verdict.ABSENT


def _compare(file: Found | Problem, row: Row, entry: bytes | None) -> Verdict:
    draft = draft_of_found(file) if isinstance(file, Found) else file
    if isinstance(draft, Problem):
        set_aside = row.state is RowState.FS_RESIDENT and entry is None
        return Verdict.RESIDENT if set_aside else Verdict.NOT_SET_ASIDE
    if row.state is not RowState.PRESENT or row.data != draft.data:
        return Verdict.CONTENT
    found = (draft.mode, draft.uid, draft.gid, draft.mtime_ns, draft.name)
    if (row.mode, row.uid, row.gid, row.mtime_ns, row.name) != found:
        return Verdict.ATTRIBUTES
    return Verdict.EQUAL if (entry or b"") == draft.summary else Verdict.INDEX
