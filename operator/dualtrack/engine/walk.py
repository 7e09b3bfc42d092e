"""A drive, directory by directory: the order of a sweep, which can stop and go on anywhere.

Directories come in byte order of their names, each before what lies below it (`b`, `b/a`, `b/a/x`, `b/a-b`);
that is not the order of keys, so a cursor counts directories, never keys. What a range says:

* `complete`: of the objects that lie directly in `directory`, with names in (`first`, `last`], none is
  missing. Only then may a row without a file be taken for deleted. A directory that could not be listed, or
  vanished meanwhile, yields a range that is not complete, and nothing is known of all that lies below it.
* A directory strictly between those of two successive ranges holds no objects, unless the earlier of the two
  is incomplete and lies above it.

Large directories come in several ranges, so that memory stays bounded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from dualtrack.engine import naming
from dualtrack.engine.drive import Drive
from dualtrack.engine.listing import (
    DirectoryReader,
    Found,
    Path,
    Problem,
    data_directories,
    failed_directory,
)
from dualtrack.engine.native import library
from dualtrack.engine.native.library import Names
from dualtrack.engine.places import file_exists
from dualtrack.engine.sealing import Sealer
from dualtrack.engine.stores.protocol import SealedRows

RANGE_OBJECTS = 1000
RANGE_BYTES = 16 * 1024 * 1024

# Below `buckets/` and `config/` of a system volume: working state that a server makes anew.
_TRANSIENT = frozenset({b".metacache", b".trash", b".heal", b"tmp", b"multipart"})
_SYSTEM_ROOTS = (b"buckets", b"config")


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """How far a walk has come: all of `directory` itself (name empty), or its objects up to `name`."""

    directory: Path
    name: bytes = b""

    def pack(self) -> bytes:
        return b"/".join(self.directory) + b"\0" + self.name

    @classmethod
    def unpack(cls, data: bytes) -> Cursor:
        directory, _, name = data.partition(b"\0")
        return cls(tuple(directory.split(b"/")), name)


@dataclass(frozen=True, slots=True)
class Range:
    """The objects directly in `directory` with names after `first`, up to `last` (None: to the end)."""

    directory: Path
    first: bytes
    last: bytes | None
    objects: tuple[Found, ...]
    problems: tuple[Problem, ...]
    complete: bool
    #: Objects that the native reader has read and sealed, beside `objects`.
    sealed: SealedRows = field(default_factory=SealedRows)

    @property
    def bucket(self) -> str:
        return naming.text(self.directory[0])

    @property
    def cursor(self) -> Cursor:
        """Where a walk goes on after this range."""
        return Cursor(self.directory, self.last or b"")


@dataclass(slots=True)
class _Pending:
    """A directory still to be visited. None: which data directories it has is not known yet."""

    path: Path
    data_directories: frozenset[bytes] | None


@dataclass(slots=True)
class _Walk:
    reader: DirectoryReader
    after: Cursor | None
    sealer: Sealer | None = None
    stack: list[_Pending] = field(default_factory=list)

    def run(self) -> Iterator[Range]:
        while self.stack:
            yield from self._visit(self.stack.pop())

    def _visit(self, here: _Pending) -> Iterator[Range]:
        known = here.data_directories
        if known is None:
            known = self.reader.own_data_directories(here.path)
        descend: list[_Pending] = []
        try:
            with self.reader.open(here.path) as descriptor:
                start = self._first_unread(here.path)
                names = (
                    self.sealer and start == b"" and not known and self.sealer.names(here.path, descriptor)
                )
                if self.sealer and names:
                    yield from self._sealed_ranges(here.path, self.sealer, names, descriptor, descend)
                else:
                    yield from self._listed_ranges(here.path, start, known, descriptor, descend)
        except OSError as error:
            yield Range(here.path, b"", None, (), (failed_directory(here.path, error),), False)
            return
        self.stack += [child for child in reversed(descend) if self._ahead(child.path)]

    def _sealed_ranges(
        self, path: Path, sealer: Sealer, names: Names, descriptor: int, descend: list[_Pending]
    ) -> Iterator[Range]:
        """Let the native reader read what it understands, and read the rest here."""
        first = b""
        for part in sealer.read(path, descriptor, names, RANGE_OBJECTS):
            objects: list[Found] = []
            failures: list[Problem] = []
            for name, kind, data in part.others:
                match kind:
                    case library.SEALED:
                        descend.append(_Pending((*path, name), data_directories(data)))
                    case library.ABSENT:
                        descend.append(_Pending((*path, name), frozenset()))
                    case _:
                        self._read(path, name, descriptor, objects, failures, descend)
            if part.rows or objects or failures or first:
                yield _range(path, first, part.last, objects, failures, part.rows)
            first = part.last or b""

    def _listed_ranges(
        self,
        path: Path,
        start: bytes | None,
        known: frozenset[bytes],
        descriptor: int,
        descend: list[_Pending],
    ) -> Iterator[Range]:
        listing = self.reader.list(path, descriptor, known)
        names = [name for name in listing.children if not self._transient(path, name)]
        if start is None:
            descend += [_Pending((*path, name), None) for name in names]
            return
        descend += [_Pending((*path, name), None) for name in names if name <= start]
        rest = [name for name in names if name > start]
        yield from self._ranges(path, start, rest, descriptor, listing.problems, descend)

    def _ranges(
        self,
        path: Path,
        first: bytes,
        names: list[bytes],
        descriptor: int,
        problems: tuple[Problem, ...],
        descend: list[_Pending],
    ) -> Iterator[Range]:
        """Read the objects in the subdirectories `names`, and note which of these are to be visited."""
        start = first
        objects: list[Found] = []
        failures = list(problems)
        size = 0
        for name in names:
            size += self._read(path, name, descriptor, objects, failures, descend)
            if len(objects) >= RANGE_OBJECTS or size >= RANGE_BYTES:
                yield _range(path, first, name, objects, failures)
                first, objects, failures, size = name, [], [], 0
        if objects or failures or first != start:
            yield _range(path, first, None, objects, failures)

    def _read(
        self,
        path: Path,
        name: bytes,
        descriptor: int,
        objects: list[Found],
        failures: list[Problem],
        descend: list[_Pending],
    ) -> int:
        """Read the object in one subdirectory; returns its size."""
        read = self.reader.read_child(path, name, descriptor)
        if isinstance(read, Found):
            objects.append(read)
            if self.reader.may_have_children(path, name, descriptor, read.data):
                descend.append(_Pending((*path, name), data_directories(read.data)))
            return len(read.data)
        if read is not None:
            failures.append(read)
        descend.append(_Pending((*path, name), frozenset() if read is None else None))
        return 0

    def _first_unread(self, path: Path) -> bytes | None:
        """After which name the objects of a directory are still to be read; None if all have been."""
        if self.after is None or path > self.after.directory:
            return b""
        return self.after.name or None if path == self.after.directory else None

    def _ahead(self, path: Path) -> bool:
        return self.after is None or path >= self.after.directory[: len(path)]

    @staticmethod
    def _transient(path: Path, name: bytes) -> bool:
        return path[0].startswith(b".") and name in _TRANSIENT


def _range(
    path: Path,
    first: bytes,
    last: bytes | None,
    objects: list[Found],
    problems: list[Problem],
    sealed: SealedRows | None = None,
) -> Range:
    complete = not any(problem.transient for problem in problems)
    return Range(path, first, last, tuple(objects), tuple(problems), complete, sealed or SealedRows())


def _join(drive: Drive, volume: bytes, name: bytes) -> bytes:
    return b"/".join((os.fsencode(drive.path), volume, name))


def walk(
    drive: Drive,
    *,
    after: Cursor | None = None,
    buckets: list[str] | None = None,
    system: bool = False,
    trust_links: bool | None = None,
    sealer: Sealer | None = None,
) -> Iterator[Range]:
    """Walk the drive's buckets (all, or those named), going on after a cursor. With a `sealer`, most objects
    come as sealed rows.

    With `system`, the system volume's `buckets/` and `config/` come first, as objects of a bucket that begins
    with a dot. DriveError where the drive itself cannot be listed.
    """
    names = drive.buckets() if buckets is None else buckets
    roots: list[Path] = [(naming.raw(bucket),) for bucket in names]
    if system:
        volume = naming.raw(drive.system_volume)
        roots += [(volume, name) for name in _SYSTEM_ROOTS if file_exists(_join(drive, volume, name))]
    state = _Walk(DirectoryReader(drive.path, trust_links=trust_links), after, sealer)
    state.stack += [_Pending(root, frozenset()) for root in sorted(roots, reverse=True) if state._ahead(root)]
    return state.run()
