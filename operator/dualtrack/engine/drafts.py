"""From what was found on the drive to the draft of a row, the same for every verb that reads files."""

from __future__ import annotations

import sys
from collections.abc import Callable

from dualtrack.engine.formats import xlmeta
from dualtrack.engine.listing import DirectoryReader, Found, Problem
from dualtrack.engine.metafile import MetaFile
from dualtrack.engine.objects.kv_track import draft_of, resident_draft
from dualtrack.engine.owner import DRAIN_BATCH, Owner
from dualtrack.engine.places import object_path
from dualtrack.engine.rows import NO_FILE, RowDraft, RowState
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.errors import CorruptError, UnsupportedFormatError

WITHOUT_FILE = RowDraft(NO_FILE, 0, 0, 0, 0, b"", b"", RowState.FS_RESIDENT)
"""Of an object that has no file that could be opened: whoever reads it goes to the file system."""


def file_of(found: Found) -> MetaFile:
    return MetaFile(found.fingerprint, found.mode, found.uid, found.gid, found.data, found.name)


def draft_of_found(found: Found) -> RowDraft | Problem:
    """The draft of a sound file; the problem, by name, of one that cannot be decoded."""
    try:
        return draft_of(found.bucket, xlmeta.decode(found.data), found.data, file_of(found))
    except (CorruptError, UnsupportedFormatError) as error:
        return Problem(found.bucket, found.key, found.path, error.reason, str(error), False)


def resident(found: Found | None) -> RowDraft:
    return resident_draft(file_of(found)) if found is not None else WITHOUT_FILE


def draft_reader(drive: str) -> Callable[[str, str], RowDraft | None]:
    """What an owner's drain asks for: the row of a key's file as it is now."""
    reader = DirectoryReader(drive)

    def read(bucket: str, key: str) -> RowDraft | None:
        found = reader.read(object_path(bucket, key))
        if found is None:
            return None
        if isinstance(found, Problem):
            if found.transient:
                raise OSError(found.message)
            return WITHOUT_FILE
        draft = draft_of_found(found)
        return resident(found) if isinstance(draft, Problem) else draft

    return read


def settle_journal(task: Task) -> set[Place]:
    """Drain what a server that is gone has left dirty. Where one runs, its own drain does that.

    A key whose row is later than its file stays dirty (a write on the way back from `kv_only` that was cut
    off): its file has to follow, and without the mark nobody would know. The next server does that. Answers
    these keys.
    """
    later: set[Place] = set()
    if not isinstance(task.owner, Owner):
        return later

    def leave(bucket: str, key: str) -> None:
        later.add((bucket, key))
        raise OSError("its row is later than its file, which the next server writes")

    read, places = draft_reader(task.drive.path), task.owner.dirty_places(sys.maxsize)
    for start in range(0, len(places), DRAIN_BATCH):
        task.owner.drain(read, DRAIN_BATCH, places[start : start + DRAIN_BATCH], leave)
        task.checkpoint()
    return later
