"""The C library as Python sees it: two calls, list a directory and read the objects in it.

A plain shared library by ctypes, not an extension module: it needs no Python headers to build, and one build
serves every Python version. A call holds no interpreter lock, so that reading and committing use two cores.

What is promised: the library fills in only what Python would have made of the same file, byte by byte, and
says ASK for everything else. The tests hold the two against each other over every real tree, generated files
and damaged ones. A library that was built for other formats than this Python knows is not used.
"""

from __future__ import annotations

import ctypes
import logging
import os
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dualtrack.engine import summary
from dualtrack.engine.rows import Generation
from dualtrack.engine.stores import envelope

LIBRARY = Path(__file__).with_name("_reader.so")
SWITCH = "DUALTRACK_NATIVE"
ABSENT, SEALED, ASK = 0, 1, 2
UNUSUAL, TOO_LARGE = 1, 2
MOST_ITEMS = 1_000

_INTERFACE = 5 << 16 | envelope.SCHEMA << 8 | summary.SCHEMA
_ITEM = struct.Struct("=9I")
_NAME_ROOM = 8 * 1024 * 1024
_ARENA_ROOM = 16 * 1024 * 1024
_log = logging.getLogger(__name__)

Item = tuple[int, int, int, int, int, int, int, int, int]
"""State, whether something may lie below, versions; start and size of full key, value and index entry."""


class _Job(ctypes.Structure):
    _fields_ = (
        ("prefix", ctypes.c_char_p),
        ("prefix_size", ctypes.c_uint32),
        ("full_at", ctypes.c_uint32),
        ("term", ctypes.c_uint32),
        ("trust_links", ctypes.c_uint32),
        ("counter", ctypes.c_uint64),
        ("threads", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Names:
    """The subdirectories of a directory in byte order, each name with its NUL behind it."""

    packed: bytes
    count: int
    flags: int

    def between(self, start: int, end: int) -> list[bytes]:
        return self.packed[start:end].split(b"\0")[:-1]


@dataclass(frozen=True, slots=True)
class Part:
    """What a call has read: the names up to `next`; `plain` of them are sealed with nothing below. The
    offsets in the items count in `data`.
    """

    data: bytes
    count: int
    plain: int
    next: int
    packed_items: bytes

    def items(self) -> list[Item]:
        return list(_ITEM.iter_unpack(self.packed_items))


class Reader:
    """Memory for calls into the library; not for several threads at once. A call may itself use `threads`."""

    def __init__(self, found: ctypes.CDLL, drive_id: bytes, *, trust_links: bool, threads: int = 1) -> None:
        self._library = found
        self._drive = drive_id
        self._names = ctypes.create_string_buffer(_NAME_ROOM)
        self._arena = ctypes.create_string_buffer(_ARENA_ROOM)
        self._items = ctypes.create_string_buffer(_ITEM.size * MOST_ITEMS)
        self._flags, self._plain = ctypes.c_uint32(), ctypes.c_uint32()
        self._used, self._next = ctypes.c_uint64(), ctypes.c_uint64()
        self._no_atime = ctypes.c_int(os.O_NOATIME)
        self._job = _Job(trust_links=int(trust_links), full_at=len(drive_id) + 1, threads=threads)

    def use(self, threads: int) -> None:
        """How many threads a call may use from now on."""
        self._job.threads = threads

    def names(self, descriptor: int) -> Names:
        """The subdirectories of an open directory. OSError where it cannot be read to its end."""
        flags, used = self._flags, self._used
        count = self._library.dt_list(
            descriptor, self._names, _NAME_ROOM, ctypes.byref(flags), ctypes.byref(used)
        )
        if count < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return Names(ctypes.string_at(self._names, used.value), count, flags.value)

    def read(
        self, descriptor: int, names: Names, start: int, limit: int, within: bytes, generation: Generation
    ) -> Part:
        """Read the objects in the subdirectories from byte `start` of the names on, `limit` at most. `within`
        is bucket, NUL and the key's beginning down to the directory, with its slash.
        """
        job, used, after, plain = self._job, self._used, self._next, self._plain
        job.prefix = prefix = self._drive + b"\0" + within
        job.prefix_size = len(prefix)
        job.term, job.counter = generation.term, generation.counter
        done = self._library.dt_read(
            descriptor,
            names.packed,
            start,
            len(names.packed),
            min(limit, MOST_ITEMS),
            ctypes.byref(job),
            ctypes.byref(self._no_atime),
            self._arena,
            _ARENA_ROOM,
            self._items,
            ctypes.byref(used),
            ctypes.byref(after),
            ctypes.byref(plain),
        )
        data = ctypes.string_at(self._arena, used.value)
        items = ctypes.string_at(self._items, done * _ITEM.size)
        return Part(data, done, plain.value, after.value, items)


@cache
def library() -> ctypes.CDLL | None:
    """The library, or None where it was not built, is turned off, or was built for other formats."""
    if os.environ.get(SWITCH) == "0" or not LIBRARY.exists():
        return None
    try:
        found = ctypes.CDLL(str(LIBRARY), use_errno=True)
    except OSError as error:
        _log.warning("native reader=%s error=%s: reading in Python", LIBRARY, error)
        return None
    found.dt_interface.restype = ctypes.c_uint32
    if found.dt_interface() != _INTERFACE:
        _log.warning("native reader=%s was built for other formats: reading in Python", LIBRARY)
        return None
    size, pointer = ctypes.c_uint64, ctypes.c_void_p
    found.dt_list.restype = found.dt_read.restype = ctypes.c_int64
    found.dt_match.restype = ctypes.c_int64
    found.dt_match.argtypes = (pointer, pointer, pointer)
    found.dt_list.argtypes = (ctypes.c_int, pointer, size, pointer, pointer)
    found.dt_read.argtypes = (
        ctypes.c_int, ctypes.c_char_p, size, size, ctypes.c_uint32, pointer, pointer,
        pointer, size, pointer, pointer, pointer, pointer,
    )  # fmt: skip
    found.dt_check_index.argtypes = (
        ctypes.c_char_p, size, ctypes.c_char_p, size, ctypes.c_char_p, size, pointer, size,
    )  # fmt: skip
    found.dt_unpack_index.argtypes = (ctypes.c_char_p, size, pointer, size, size, pointer)
    return found
