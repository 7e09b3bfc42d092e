"""Looks at the directory and the file of an LMDB store before anything maps it.

LMDB maps its file. On a network file system, or with a file that ends before the pages it refers to, the
price is not an exception but silent damage or a SIGBUS that kills the server. So both are found out first, by
plain reads.
"""

from __future__ import annotations

import ctypes
import logging
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from dualtrack.errors import StoreCorruptError, StoreError, StoreFullError

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"
LEAST_FREE = 2**20
"""To begin a store with, or to open one that nobody has opened where it lies."""
_GIB = 2**30
_SOUND = {0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs"}
_FOR_TESTS = {0x01021994: "tmpfs", 0x794C7630: "overlay"}
_META_MAGIC = 0xBEEFC0DE
_META = struct.Struct("<II8xQI44x48xQQ")
_PAGE_HEADER = 16
_PROBE_SECONDS = 600
LOOK_SECONDS = 0.05
_log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)


def file_system(path: str) -> int:
    """The magic number of the file system that holds `path` (statfs)."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(path), buffer) != 0:
        code = ctypes.get_errno()
        raise StoreError(f"statfs of {path} failed: {os.strerror(code)}")
    return int.from_bytes(buffer.raw[:8], sys.byteorder) & 0xFFFFFFFF


def refuse_unsound(path: str) -> None:
    """Raise `StoreError` unless a local file system that LMDB is safe on holds `path`."""
    magic = file_system(path)
    if magic in _SOUND:
        return
    if magic in _FOR_TESTS:
        _log.warning("store on %s path=%s: fit for tests only", _FOR_TESTS[magic], path)
        return
    raise StoreError(
        f"{path} lies on a file system of type {magic:#x}; an LMDB store needs a local ext4, xfs or btrfs "
        "(never NFS, CIFS or FUSE): choose another --store"
    )


def default_map_size(path: str) -> int:
    """As large as the file system: the disk is full before the map, which therefore never has to grow.

    The map costs addresses, not memory; the file is sparse.
    """
    status = os.statvfs(path)
    return min(max(status.f_blocks * status.f_frsize, _GIB), 16 * 1024 * _GIB)


def refuse_full(directory: str) -> None:
    """Raise `StoreFullError` where there is no room for the table of readers, which LMDB makes as a hole and
    fills through its map: a disk without room answers that with a SIGBUS.
    """
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if free < LEAST_FREE and os.path.getsize(os.path.join(directory, LOCK_FILE)) == 0:
        raise StoreFullError(
            f"{directory}: {free} bytes are free and {LEAST_FREE} the least: make room first"
        )


def refuse_truncated(directory: str) -> None:
    """Raise `StoreCorruptError` if the file is shorter than what it refers to.

    LMDB may end a file early when the last pages of a transaction were never needed, so a short file alone
    proves nothing: a child process walks it, and dies instead of us if pages are missing.
    """
    path = os.path.join(directory, DATA_FILE)
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return
    if os.path.getsize(path) >= _announced_size(path):
        return
    if code := _probe(directory):
        raise _damaged(path, f"is truncated (a process that read it ended with {code})")


def refuse_unreadable(directory: str) -> None:
    """Raise `StoreCorruptError` if walking every page of the file kills the process that does it, or fails.

    A damaged page can do that to whoever meets it, so a scrub sends a child first.
    """
    if code := _probe(directory):
        path = os.path.join(directory, DATA_FILE)
        raise _damaged(path, f"has pages that cannot be read (a process that read them ended with {code})")


class SizeGuard:
    """The file of a store that is mapped must not get shorter: a page beyond its end is a SIGBUS that kills
    the process. Every writer looks; a reader, to whom a system call is dear, does so when nobody has looked
    for `LOOK_SECONDS`, which is how long whoever cuts the file off may still win.
    """

    def __init__(self, directory: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = 0.0
        self._path = os.path.join(directory, DATA_FILE)
        self._descriptor = os.open(self._path, os.O_PATH | os.O_CLOEXEC)
        self._largest = 0
        self._shrunk = False
        # A size that was asked for before another thread saw a larger one is old, not smaller.
        self._lock = threading.Lock()

    def glance(self) -> None:
        """As `check`, if it is time to."""
        if self._clock() >= self._next:
            self.check()

    def check(self) -> None:
        """`StoreCorruptError` from the first time on that the file has lost something, for good: what grows
        again behind the cut is not what was there."""
        with self._lock:
            size = os.fstat(self._descriptor).st_size
            if size < self._largest or self._shrunk:
                self._shrunk = True
                raise _damaged(
                    self._path, f"was cut off while it was open ({self._largest} bytes, now {size})"
                )
            self._largest = size
            self._next = self._clock() + LOOK_SECONDS

    def close(self) -> None:
        os.close(self._descriptor)


def _probe(directory: str) -> int:
    command = "import sys; from dualtrack.engine.stores.lmdb import probe; probe(sys.argv[1])"
    child = subprocess.run(
        [sys.executable, "-c", command, directory], capture_output=True, timeout=_PROBE_SECONDS, check=False
    )
    return child.returncode


def _announced_size(path: str) -> int:
    """Page size times the number of pages, from the newer of the two meta pages."""
    with open(path, "rb") as file:
        head = file.read(_PAGE_HEADER + _META.size)
        page_size = _meta(path, head)[3]
        if page_size not in (4096, 8192, 16384, 32768, 65536):
            raise _damaged(path, f"claims pages of {page_size} bytes")
        file.seek(page_size)
        second = file.read(_PAGE_HEADER + _META.size)
    newest = max((_meta(path, page) for page in (head, second)), key=lambda meta: meta[5])
    return int(page_size * (newest[4] + 1))


def _meta(path: str, page: bytes) -> tuple[int, ...]:
    if len(page) < _PAGE_HEADER + _META.size:
        raise _damaged(path, "ends within its first two pages")
    meta = _META.unpack_from(page, _PAGE_HEADER)
    if meta[0] != _META_MAGIC:
        raise _damaged(path, "does not begin like an LMDB file")
    return meta


def _damaged(path: str, what: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"{path} {what}; put a snapshot in its place, or remove the store and migrate again while no file "
        "has been cleaned up"
    )
