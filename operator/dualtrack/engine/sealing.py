"""The sweep's way to rows by the native reader: a directory's objects, read and sealed in a few calls.

`walk.py` asks here first and reads in Python what comes back as "ask": unusual files, and all of a directory
that the reader does not list (links in it, types that the file system does not tell). Where the library is
not there, there is no sealer, and the walk reads everything in Python.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from dualtrack.engine import naming
from dualtrack.engine.listing import Path, links_count_subdirectories
from dualtrack.engine.native import library
from dualtrack.engine.native.library import SEALED, TOO_LARGE, UNUSUAL, Names, Part
from dualtrack.engine.rows import ZERO, Generation, is_system
from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.protocol import SealedRows

MOST_THREADS = 4


@dataclass(frozen=True, slots=True)
class Sealed:
    """Some of a directory's subdirectories, in order.

    `others` are those that are not done with: (name, what it is, bytes). ASK: Python has to read it. ABSENT:
    no object, but there may be some below. SEALED: an object with these bytes, below which there may be
    others. `last` is the name of the last one; None at the directory's end.
    """

    rows: SealedRows
    others: tuple[tuple[bytes, int, bytes], ...]
    last: bytes | None


def reading_threads(most: int = MOST_THREADS) -> int:
    """How many threads read at once, `most` at most: disks gain from a few, memory from no more than there
    are processors.
    """
    return min(most, MOST_THREADS, len(os.sched_getaffinity(0)))


class Sealer:
    """Reads under one generation at a time, which whoever sweeps sets before it asks for more, and with as
    many threads as `use` said last.
    """

    def __init__(self, reader: library.Reader) -> None:
        self._reader = reader
        self.generation: Generation = ZERO

    @classmethod
    def of(
        cls, root: str, drive_id: str, *, trust_links: bool | None = None, threads: int = 1
    ) -> Sealer | None:
        """None where the native reader is not there. `threads` read a directory's files at once."""
        found = library.library()
        if found is None:
            return None
        trust = links_count_subdirectories(root) if trust_links is None else trust_links
        return cls(library.Reader(found, drive_id.encode(), trust_links=trust, threads=threads))

    def use(self, threads: int) -> None:
        self._reader.use(threads)

    def names(self, path: Path, descriptor: int) -> Names | None:
        """The subdirectories of an open directory; None where Python has to list it."""
        if is_system(naming.text(path[0])):
            return None
        names = self._reader.names(descriptor)
        return None if names.flags & (UNUSUAL | TOO_LARGE) else names

    def read(self, path: Path, descriptor: int, names: Names, limit: int) -> Iterator[Sealed]:
        """The objects in the subdirectories, up to `limit` at a time."""
        within = path[0] + b"\0" + b"".join(name + b"/" for name in path[1:])
        start = 0
        while start < len(names.packed):
            part = self._reader.read(descriptor, names, start, limit, within, self.generation)
            yield _sealed(names, start, part)
            start = part.next


def _sealed(names: Names, start: int, part: Part) -> Sealed:
    data, rows = part.data, SealedRows()
    items = part.items()
    others: tuple[tuple[bytes, int, bytes], ...] = ()
    if part.plain < part.count:
        pairs = zip(names.between(start, part.next), items, strict=True)
        others = tuple(
            (
                name,
                item[0],
                data[item[5] + envelope.OVERHEAD : item[5] + item[6]] if item[0] == SEALED else b"",
            )
            for name, item in pairs
            if item[0] != SEALED or item[1]
        )
        items = [item for item in items if item[0] == SEALED]
    rows.fulls = [data[at : at + size] for _, _, _, at, size, _, _, _, _ in items]
    rows.values = [data[at : at + size] for _, _, _, _, _, at, size, _, _ in items]
    rows.entries = [data[at : at + size] for _, _, _, _, _, _, _, at, size in items]
    rows.versions = [item[2] for item in items]
    rows.size = len(data)
    at_end = part.next == len(names.packed)
    return Sealed(rows, others, None if at_end else names.between(start, part.next)[-1])
