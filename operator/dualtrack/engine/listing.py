"""Reading the directories of a drive: what both walks (by directory, by key) are made of.

A directory is read through one descriptor, so that its names and the files below it belong together. Which
subdirectories may hold objects is decided here: all but the data directories that the object's own `xl.meta`
names. A UUID for a name proves nothing, because users name keys so, too.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dualtrack.engine import naming
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.bodies import NULL_ID, ObjectBody
from dualtrack.engine.metafile import MetaFile, MetaReader, Unreadable, unreadable
from dualtrack.engine.naming import MetaName
from dualtrack.engine.rows import Fingerprint
from dualtrack.errors import FormatError

META_FILE = naming.META_FILE.encode()
LEGACY_FILE = naming.LEGACY_FILE.encode()

# Where a directory's link count is 2 exactly when it has no subdirectory. Others (btrfs, overlay, FUSE) lie.
_COUNTING = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs"})

_VANISHED = frozenset({"ENOENT", "ENOTDIR"})

Path = tuple[bytes, ...]
"""Names from the root of the drive, the bucket first."""


@dataclass(frozen=True, slots=True)
class Found:
    """One metadata file. `path` is relative to the drive; strings hold the file system's bytes
    (surrogateescape).
    """

    bucket: str
    key: str
    path: str
    fingerprint: Fingerprint
    mode: int
    uid: int
    gid: int
    data: bytes
    name: MetaName = MetaName.XL_META


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read, by name. `transient`: another try may succeed, so nothing is known
    of it; otherwise it is what it is (a link, damage) and belongs into the quarantine.
    """

    bucket: str
    key: str
    path: str
    reason: str
    message: str
    transient: bool

    @property
    def vanished(self) -> bool:
        """Whether it went between its listing and its reading, as anything may beside a server."""
        return self.reason in _VANISHED


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory that lies open: `children` are its subdirectories in byte order, data directories left
    out.
    """

    descriptor: int
    children: tuple[bytes, ...]
    problems: tuple[Problem, ...]


class DirectoryReader:
    """Reads the directories and files of one drive."""

    def __init__(self, root: str, *, trust_links: bool | None = None) -> None:
        """`trust_links`: whether a link count of 2 means "no subdirectory"; None asks the file system's
        type.
        """
        self._root = os.fsencode(root)
        self._reader = MetaReader()
        self._trust_links = links_count_subdirectories(root) if trust_links is None else trust_links

    @contextmanager
    def open(self, path: Path) -> Iterator[int]:
        """A descriptor of the directory at `path`. OSError where it cannot be opened."""
        descriptor = self._reader.open(self._absolute(path), os.O_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def listing(self, path: Path, data_directories: frozenset[bytes]) -> Iterator[Listing]:
        """Open and list a directory. OSError where that fails, half-way included."""
        with self.open(path) as descriptor:
            yield self.list(path, descriptor, data_directories)

    def list(self, path: Path, descriptor: int, data_directories: frozenset[bytes]) -> Listing:
        """List an open directory. OSError where that fails half-way."""
        children: list[bytes] = []
        problems: list[Problem] = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if name not in data_directories:
                        children.append(name)
                elif entry.is_symlink() and name not in (META_FILE, LEGACY_FILE):
                    # Those two are told where the object is read.
                    problems.append(problem((*path, name), LINK))
        return Listing(descriptor, tuple(sorted(children)), tuple(problems))

    def read_child(self, path: Path, name: bytes, descriptor: int) -> Found | Problem | None:
        """The object in the subdirectory `name` of the open directory at `path`."""
        return _outcome((*path, name), self._reader.read_object(name, descriptor))

    def read(self, path: Path) -> Found | Problem | None:
        """The object whose directory lies at `path`."""
        return _outcome(path, self._reader.read_object(self._absolute(path)))

    def may_have_children(self, path: Path, name: bytes, descriptor: int, data: bytes | None = None) -> bool:
        """False only where the object's directory surely has no subdirectory. Where the object's bytes are
        given, the data directories that they name do not count: its link count is 2, and one for each of
        these that is there.
        """
        if not self._trust_links:
            return True
        try:
            links = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_nlink
            if links == 2 or data is None:
                return links != 2
            parts = sum(_is_directory(name + b"/" + part, descriptor) for part in data_directories(data))
        except OSError:
            return True  # listing it will tell
        return links != 2 + parts

    def own_data_directories(self, path: Path) -> frozenset[bytes]:
        """The data directories of the object at `path`, read from its file; none where there is no object."""
        found = self.read(path) if len(path) > 1 else None
        return data_directories(found.data) if isinstance(found, Found) else frozenset()

    def _absolute(self, path: Path) -> bytes:
        return b"/".join((self._root, *path))


def _is_directory(path: bytes, descriptor: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path, dir_fd=descriptor, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def data_directories(data: bytes) -> frozenset[bytes]:
    """Names of the directories that hold the parts of an object's versions. A damaged file names none: what
    lies beside it is then looked at, which costs time and loses nothing.
    """
    try:
        bodies = [version.body for version in xlmeta.decode(data).versions]
    except FormatError:
        return frozenset()
    return frozenset(
        str(uuid.UUID(bytes=body.data_dir)).encode()
        for body in bodies
        if isinstance(body, ObjectBody) and body.data_dir != NULL_ID
    )


LINK = Unreadable("symlink", "is a symbolic link, which servers reject", False)


def problem(path: Path, why: Unreadable) -> Problem:
    """`why`, with the name of the object whose directory lies at `path`."""
    names = [naming.text(name) for name in path]
    where = "/".join(names)
    return Problem(
        names[0], naming.key_of(names[1:]), where, why.reason, f"{where} {why.message}", why.transient
    )


def failed_directory(path: Path, error: OSError) -> Problem:
    """A directory that could not be listed: nothing is known of what lies below it."""
    why = unreadable(error)
    return problem(path, Unreadable(why.reason, f"cannot be listed: {why.message}", True))


def _outcome(path: Path, read: MetaFile | Unreadable | None) -> Found | Problem | None:
    if isinstance(read, MetaFile):
        bucket, *names = (naming.text(name) for name in path)
        where = f"{bucket}/{'/'.join(names)}/{read.name.file}"
        key = naming.key_of(names)
        status = (read.fingerprint, read.mode, read.uid, read.gid)
        return Found(bucket, key, where, *status, read.data, read.name)
    return None if read is None else problem(path, read)


def links_count_subdirectories(path: str) -> bool:
    """Whether the file system under `path` keeps a directory's link count at 2 + its subdirectories."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            lines = [line.split(" - ", 1) for line in mounts]
    except OSError:
        return False
    types = {after.split()[0] for before, after in lines if before.split()[2] == wanted}
    return bool(types) and types <= _COUNTING
