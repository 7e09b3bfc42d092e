"""Where a sample is drawn from: the names of objects, without reading a file or a row that is not chosen.

On the drive the names are read from directories alone, so a look at one object in a hundred costs the walk
and a hundredth of the reads. What a name means is settled only where it matters: whether a directory that is
called like a data directory is one says the object's own `xl.meta`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dualtrack.engine import naming
from dualtrack.engine.drive import Drive
from dualtrack.engine.listing import (
    LEGACY_FILE,
    META_FILE,
    DirectoryReader,
    Path,
    Problem,
    failed_directory,
)
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import is_system, order
from dualtrack.engine.stores.protocol import Place

PAGE = 1_000
Choose = Callable[[str, str], bool]
_DATA_DIRECTORY = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Missed:
    """A directory that could not be listed: nothing is known of what lies below it."""

    problem: Problem


def on_drive(
    drive: Drive, choose: Choose, tick: Callable[[int], None], buckets: list[str] | None = None
) -> Iterator[Place | Missed]:
    """Chosen objects that have a metadata file. `tick` gets the number of names seen in each directory."""
    reader = DirectoryReader(drive.path)
    for bucket in drive.buckets() if buckets is None else buckets:
        yield from _Names(reader, bucket, choose, tick).run()


def in_index(
    owner: OwnerApi, choose: Choose, tick: Callable[[int], None], buckets: list[str] | None = None
) -> Iterator[tuple[Place, bytes]]:
    """Chosen objects that the index lists, each with its packed entry."""
    known = owner.stats().objects if buckets is None else buckets
    for bucket in sorted((name for name in known if not is_system(name)), key=lambda name: order(name, "")):
        after: str | None = None
        while page := owner.scan_index(bucket, "", after, PAGE):
            tick(len(page))
            yield from (((bucket, key), entry) for key, entry in page if choose(bucket, key))
            after = page[-1][0]


@dataclass(slots=True)
class _Names:
    reader: DirectoryReader
    bucket: str
    choose: Choose
    tick: Callable[[int], None]
    stack: list[Path] = field(default_factory=list)

    def run(self) -> Iterator[Place | Missed]:
        self.stack.append((naming.raw(self.bucket),))
        while self.stack:
            path = self.stack.pop()
            try:
                yield from self._visit(path)
            except OSError as error:
                yield Missed(failed_directory(path, error))

    def _visit(self, path: Path) -> list[Place | Missed]:
        chosen: list[Place | Missed] = []
        below: list[Path] = []
        own: frozenset[bytes] | None = None
        with self.reader.listing(path, frozenset()) as listing:
            chosen += [Missed(problem) for problem in listing.problems if problem.transient]
            for name in listing.children:
                child = (*path, name)
                key = naming.key_of([naming.text(each) for each in child[1:]])
                there = self.choose(self.bucket, key) and _has_file(name, listing.descriptor)
                deeper = self.reader.may_have_children(path, name, listing.descriptor)
                if (there or deeper) and len(path) > 1 and _DATA_DIRECTORY.fullmatch(name):
                    own = self.reader.own_data_directories(path) if own is None else own
                    if name in own:
                        continue
                if there:
                    chosen.append((self.bucket, key))
                if deeper:
                    below.append(child)
            self.tick(len(listing.children))
        self.stack += reversed(below)
        return chosen


def _has_file(name: bytes, descriptor: int) -> bool:
    for file in (META_FILE, LEGACY_FILE):
        try:
            os.lstat(name + b"/" + file, dir_fd=descriptor)
        except (FileNotFoundError, NotADirectoryError):
            continue
        return True
    return False
