"""Whether a metadata file may be taken away, seen from its row: a pure function of both.

Only a file that its row makes superfluous may go: one that says exactly what the row says, so that a restore
gives it back as it was, or one that the row has left behind (an object written or deleted in `kv_only`, which
changes no file). Whatever else is found stays where it is and is told by name.
"""

from __future__ import annotations

from enum import StrEnum

from dualtrack.engine.metafile import MetaFile, Unreadable
from dualtrack.engine.rows import Generation, Row, RowOrigin, RowState


class Verdict(StrEnum):
    IDENTICAL = "identical"
    SUPERSEDED = "superseded"
    ABSENT = "absent"
    RESIDENT = "resident"
    #: From here on the file stays and is named.
    NEWER = "newer"
    UNTRUSTED = "untrusted"
    DIRTY = "dirty"
    UNREADABLE = "unreadable"

    @property
    def may_go(self) -> bool:
        return self in (Verdict.IDENTICAL, Verdict.SUPERSEDED)

    @property
    def is_trouble(self) -> bool:
        return self in (Verdict.NEWER, Verdict.UNTRUSTED, Verdict.DIRTY, Verdict.UNREADABLE)


def judge(
    row: Row, file: MetaFile | Unreadable | None, *, dirty: bool, trust_floor: Generation, cut_over_ns: int
) -> Verdict:
    """`cut_over_ns`: since when no server of ours writes a file any more."""
    if row.state is RowState.FS_RESIDENT:
        return Verdict.RESIDENT
    if file is None:
        return Verdict.ABSENT
    if isinstance(file, Unreadable):
        return Verdict.UNREADABLE
    if dirty:
        return Verdict.DIRTY
    if row.generation < trust_floor:
        return Verdict.UNTRUSTED
    if row.origin is RowOrigin.KV:
        # A server may have written the file between the marker's move and its own end; a tombstone without a
        # time of its own goes by the marker.
        limit = row.mtime_ns if row.present else max(row.mtime_ns, cut_over_ns)
        return Verdict.SUPERSEDED if file.fingerprint.mtime_ns <= limit else Verdict.NEWER
    return Verdict.IDENTICAL if _same(row, file) else Verdict.NEWER


def _same(row: Row, file: MetaFile) -> bool:
    """Bytes, and all that a restore sets. No inode: a drive that was copied has others."""
    return (row.state, row.name, row.data, row.mode, row.uid, row.gid, row.mtime_ns) == (
        RowState.PRESENT,
        file.name,
        file.data,
        file.mode,
        file.uid,
        file.gid,
        file.fingerprint.mtime_ns,
    )
