"""Reading one metadata file so that what was read is known to belong together.

The file is opened without following links and without touching its access time, and its fingerprint is taken
before and after the read on the same descriptor. Servers replace the file by renaming another over it, so an
open descriptor keeps one whole version; where the fingerprints differ all the same, it is read again.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, replace

from dualtrack.engine.formats.legacy import xljson
from dualtrack.engine.naming import LEGACY_FILE, META_FILE, MetaName
from dualtrack.engine.rows import Fingerprint

MAX_META_SIZE = 256 * 1024 * 1024
"""Beyond this no server's limits (10,000 versions) can have led."""

_ATTEMPTS = 5
_META, _LEGACY = META_FILE.encode(), LEGACY_FILE.encode()
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class MetaFile:
    """A file's bytes with what is needed to put it back as it was."""

    fingerprint: Fingerprint
    mode: int
    uid: int
    gid: int
    data: bytes
    name: MetaName = MetaName.XL_META


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a file could not be read. `transient` where another try may succeed (I/O, permission, change)."""

    reason: str
    message: str
    transient: bool


class MetaReader:
    """Opens files and directories for reading; remembers whether the mount grants O_NOATIME."""

    def __init__(self) -> None:
        self._no_atime = os.O_NOATIME

    def open(self, path: bytes, flags: int = 0, dir_fd: int | None = None) -> int:
        """A descriptor. O_NOATIME is the owner's privilege: whoever has not got it reads without."""
        try:
            return os.open(path, _FLAGS | self._no_atime | flags, dir_fd=dir_fd)
        except PermissionError as error:
            if error.errno != errno.EPERM or not self._no_atime:
                raise
        descriptor = os.open(path, _FLAGS | flags, dir_fd=dir_fd)
        self._no_atime = 0
        return descriptor

    def read_object(self, directory: bytes, dir_fd: int | None = None) -> MetaFile | Unreadable | None:
        """The metadata file of the object whose directory this is: its `xl.meta`, else its `xl.json`."""
        path = directory + b"/" + _META
        found = self.read(path, dir_fd)
        if found is not None:
            return found
        found = self.read(directory + b"/" + _LEGACY, dir_fd)
        if isinstance(found, MetaFile):
            if not xljson.is_json(found.data):
                return Unreadable(xljson.REASON, "holds an xl.json that is no JSON", False)
            return replace(found, name=MetaName.XL_JSON)
        # An old MinIO renames the one to the other, perhaps between our two looks.
        return found or self.read(path, dir_fd)

    def read(self, path: bytes, dir_fd: int | None = None) -> MetaFile | Unreadable | None:
        """The file at `path`; None where there is no file, a directory of that name included."""
        for _ in range(_ATTEMPTS):
            try:
                descriptor = self.open(path, dir_fd=dir_fd)
            except OSError as error:
                return _failure(error)
            try:
                found = _read_stable(descriptor)
            except OSError as error:
                return _failure(error)
            finally:
                os.close(descriptor)
            if found is not _CHANGED:
                return found
        return _CHANGED


def _failure(error: OSError) -> Unreadable | None:
    return None if error.errno in _GONE else unreadable(error)


def unreadable(error: OSError) -> Unreadable:
    """The system's error as a class that can be named and counted."""
    if error.errno == errno.ELOOP:
        return Unreadable("symlink", "is a symbolic link, which servers reject", False)
    return Unreadable(errno.errorcode.get(error.errno or 0, "EIO"), str(error.strerror), True)


_CHANGED = Unreadable("unstable", f"changed during each of {_ATTEMPTS} reads", True)


def _read_stable(descriptor: int) -> MetaFile | Unreadable | None:
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        if stat.S_ISDIR(before.st_mode):
            return None
        return Unreadable("not-a-file", "is neither a file nor a directory", False)
    if before.st_size > MAX_META_SIZE:
        return Unreadable("too-large", f"has {before.st_size} bytes, more than {MAX_META_SIZE}", False)
    data = _read_all(descriptor, before.st_size)
    after = os.fstat(descriptor)
    fingerprint = Fingerprint.of(before)
    if fingerprint != Fingerprint.of(after) or len(data) != before.st_size:
        return _CHANGED
    return MetaFile(fingerprint, stat.S_IMODE(before.st_mode), before.st_uid, before.st_gid, data)


def _read_all(descriptor: int, size: int) -> bytes:
    # One byte more than expected, so that a file that grew is noticed by its length, too.
    data = os.read(descriptor, size + 1)
    if len(data) >= size or not data:
        return data
    chunks = [data]
    while chunk := os.read(descriptor, size + 1 - sum(map(len, chunks))):
        chunks.append(chunk)
    return b"".join(chunks)
