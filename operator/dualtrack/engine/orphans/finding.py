"""Which directories look like data directories, and the rule that says whether one is an orphan.

A data directory has a UUID for its name and part files in it, and nothing else. Whom it belongs to says its
place: the object whose directory it lies in; and, because a UUID is a legal name, too, perhaps an object of
that very key. It is named where the id stands anywhere in the bytes of a row or a metadata file of either,
decoded or not: a field that we do not know may be the one that matters. What cannot be read names everything.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from dualtrack.engine import naming
from dualtrack.engine.drive import Drive
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.listing import DirectoryReader, Found, Path, Problem
from dualtrack.engine.rows import Generation, Row, RowState
from dualtrack.engine.stores.protocol import Place
from dualtrack.errors import FormatError

GRACE_SECONDS = 24 * 3600
"""Younger than this it may belong to a write under way."""
TELL_EVERY = 256
"""Directories listed."""
_NAME = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(r"part\.[1-9][0-9]{0,4}")


class Verdict(StrEnum):
    ORPHAN = "orphan"
    NAMED = "named"
    FRESH = "fresh"
    #: Of a multipart upload that can still be completed.
    UPLOAD = "upload"
    #: An object of this very key has it, or had it when its row was written.
    OBJECT = "object"
    #: What can be taken back of the object (a repair's undo, a value kept for 30 days) may name it.
    REPAIRED = "repaired"
    #: A row or a file cannot be read or believed, so nobody can say that it does not name it.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that looks like a data directory. `changed_ns` is the youngest time in it, its own
    included."""

    path: Path
    inode: int
    files: int
    size: int
    changed_ns: int

    @property
    def relative(self) -> str:
        return naming.text(b"/".join(self.path))

    @property
    def identity(self) -> uuid.UUID:
        return uuid.UUID(self.path[-1].decode())

    @property
    def holder(self) -> Place:
        """The object in whose directory it lies."""
        return _place(self.path[:-1])

    @property
    def itself(self) -> Place:
        """The object whose directory it would be."""
        return _place(self.path)


@dataclass(frozen=True, slots=True)
class Evidence:
    """`rows` and `files` of the holder and of the object of this key; a string is a row that is damaged."""

    rows: tuple[Row | str | None, Row | str | None]
    files: tuple[Found | Problem | None, Found | Problem | None]
    dirty: bool
    repaired: bool


def judge(
    found: Directory, seen: Evidence, uploads: frozenset[uuid.UUID], floor: Generation, now_ns: int
) -> Verdict:
    if now_ns - found.changed_ns < GRACE_SECONDS * 1_000_000_000:
        return Verdict.FRESH
    if found.identity in uploads:
        return Verdict.UPLOAD
    if seen.repaired:
        return Verdict.REPAIRED
    if seen.dirty:
        return Verdict.UNKNOWN
    own = seen.rows[1]
    if seen.files[1] is not None or (isinstance(own, Row) and own.state is not RowState.TOMBSTONE):
        return Verdict.OBJECT
    named = [_row_names(row, found.identity, floor) for row in seen.rows]
    named += [_file_names(file, found.identity) for file in seen.files]
    if Verdict.NAMED in named:
        return Verdict.NAMED
    return Verdict.UNKNOWN if Verdict.UNKNOWN in named else Verdict.ORPHAN


def _row_names(row: Row | str | None, identity: uuid.UUID, floor: Generation) -> Verdict | None:
    if row is None:
        return None
    if isinstance(row, str) or row.generation < floor:
        return Verdict.UNKNOWN
    return _bytes_name(row.data, identity) if row.data else None


def _file_names(file: Found | Problem | None, identity: uuid.UUID) -> Verdict | None:
    if file is None:
        return None
    return Verdict.UNKNOWN if isinstance(file, Problem) else _bytes_name(file.data, identity)


def _bytes_name(data: bytes, identity: uuid.UUID) -> Verdict | None:
    if identity.bytes in data or str(identity).encode() in data:
        return Verdict.NAMED
    try:
        xlmeta.decode(data)
    except FormatError:
        return Verdict.UNKNOWN
    return None


def directories(
    drive: Drive, failed: Callable[[str], None], tell: Callable[[], None] = lambda: None
) -> Iterator[Directory]:
    """Everything in the drive's buckets that looks like a data directory. What cannot be listed goes to
    `failed`, by name; a directory that vanishes meanwhile is none. `tell` is called now and then, for most of
    a drive may hold none.
    """
    reader = DirectoryReader(drive.path)
    stack: list[Path] = [(naming.raw(bucket),) for bucket in reversed(drive.buckets())]
    listed = 0
    while stack:
        if listed % TELL_EVERY == 0:
            tell()
        listed += 1
        path = stack.pop()
        try:
            with reader.listing(path, frozenset()) as listing:
                children = listing.children
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            failed(f"{naming.text(b'/'.join(path))}: {error.strerror}")
            continue
        for name in reversed(children):
            child = (*path, name)
            looked = look(drive.path, child) if len(path) > 1 and _NAME.fullmatch(name) else None
            if isinstance(looked, Directory):
                yield looked
            else:
                stack.append(child)


def look(root: str, path: Path) -> Directory | None:
    """The directory at `path` if it looks like a data directory now."""
    absolute = b"/".join((os.fsencode(root), *path))
    files = size = 0
    try:
        status = os.lstat(absolute)
        changed = max(status.st_mtime_ns, status.st_ctime_ns)
        with os.scandir(absolute) as entries:
            for entry in entries:
                if not entry.is_file(follow_symlinks=False) or not _PART.fullmatch(naming.text(entry.name)):
                    return None
                part = entry.stat(follow_symlinks=False)
                files, size = files + 1, size + part.st_size
                changed = max(changed, part.st_mtime_ns, part.st_ctime_ns)
    except OSError:
        return None  # whoever lists it will tell
    return Directory(path, status.st_ino, files, size, changed) if files else None


def _place(path: Path) -> Place:
    names = [naming.text(name) for name in path]
    return names[0], naming.key_of(names[1:])
