"""What a drive holds, version by version in the order of an S3 listing, straight from its files.

Key order is not directory order (`a`, `a-b`, `a/x`), yet no sort over a bucket is needed: in each directory
the objects (`a`) and the subtrees (`a/`) are taken in the byte order of these names, which is the order of
the keys. Memory is bounded by the largest directory and the depth. What cannot be read is counted and
named, never passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dualtrack.engine import naming
from dualtrack.engine.drive import Drive
from dualtrack.engine.entries import Entry, entries
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.listing import (
    DirectoryReader,
    Found,
    Path,
    Problem,
    failed_directory,
)
from dualtrack.errors import CorruptError, IncompleteError, UnsupportedFormatError

TELL_EVERY = 1_000
_SUFFIX = naming.DIRECTORY_SUFFIX.encode()
# Of a leaf there is nothing below. An object stands before a subtree of the same name (`a/` the directory
# object, `a/` the prefix).
_LEAF, _OBJECT, _SUBTREE = 0, 1, 2

_Step = tuple[bytes, int, bytes]
"""(key or prefix relative to the directory, which of the three, the subdirectory's name)."""


@dataclass(slots=True)
class Counts:
    """Of one bucket. `bytes` as clients see them, all versions; `inodes` of everything below the bucket;
    `old_forms` are metadata files from before `xl.meta` 1.3, each drive's own, which today's RustFS cannot
    read.
    """

    objects: int = 0
    versions: int = 0
    delete_markers: int = 0
    free_versions: int = 0
    bytes: int = 0
    inline: int = 0
    unreadable: int = 0
    old_forms: int = 0
    inodes: int = 0

    def count(self, entry: Entry) -> None:
        self.versions += 1
        self.objects += entry.is_latest
        self.delete_markers += entry.kind == "deleteMarker"
        self.free_versions += entry.kind == "freeVersion"
        self.bytes += entry.size
        self.inline += entry.inline

    def count_form(self, meta: XlMeta) -> None:
        self.old_forms += meta.minor != xlmeta.MINOR

    def add(self, other: Counts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Tally:
    """What an inventory has counted so far, by bucket, and what it could not read."""

    buckets: dict[str, Counts] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def total(self) -> Counts:
        total = Counts()
        for counts in self.buckets.values():
            total.add(counts)
        return total

    def counts(self, bucket: str) -> Counts:
        return self.buckets.setdefault(bucket, Counts())

    def fail(self, problem: Problem) -> None:
        self.problems.append(problem)
        self.counts(problem.bucket).unreadable += 1


def inventory(
    drive: Drive,
    tally: Tally | None = None,
    *,
    buckets: list[str] | None = None,
    trust_links: bool | None = None,
) -> Iterator[Entry]:
    """Every version on the drive: bucket by bucket, in key order, newest first. `tally` counts along.

    What cannot be read or decoded goes into `tally.problems` with its name and class; whoever gives no tally
    gets the first of these as IncompleteError instead.
    """
    reader = DirectoryReader(drive.path, trust_links=trust_links)
    for bucket in drive.buckets() if buckets is None else buckets:
        counts = tally.counts(bucket) if tally else Counts()
        for found in in_key_order(reader, bucket):
            listed = _listed(found, counts)
            if isinstance(listed, Problem):
                if tally is None:
                    raise IncompleteError(f"{listed.reason}: {listed.message}")
                tally.fail(listed)
                continue
            for entry in listed:
                counts.count(entry)
                yield entry


def _listed(found: Found | Problem, counts: Counts) -> list[Entry] | Problem:
    if isinstance(found, Problem):
        return found
    try:
        meta = xlmeta.decode(found.data)
        listed = entries(found.bucket, found.key, meta)
    except (CorruptError, UnsupportedFormatError) as error:
        return Problem(found.bucket, found.key, found.path, error.reason, f"{found.path}: {error}", False)
    counts.count_form(meta)
    return listed


def in_key_order(reader: DirectoryReader, bucket: str) -> Iterator[Found | Problem]:
    """The objects of a bucket in the byte order of their keys."""
    root: Path = (naming.raw(bucket),)
    yield from _KeyOrder(reader).run(root)


class _KeyOrder:
    def __init__(self, reader: DirectoryReader) -> None:
        self._reader = reader

    def run(self, root: Path) -> Iterator[Found | Problem]:
        stack: list[tuple[Path, Iterator[_Step]]] = []
        yield from self._enter(root, frozenset(), stack)
        while stack:
            path, steps = stack[-1]
            step = next(steps, None)
            if step is None:
                stack.pop()
                continue
            child = (*path, step[2])
            if step[1] == _SUBTREE:
                yield from self._enter(child, self._reader.own_data_directories(child), stack)
                continue
            found = self._reader.read(child)
            if found is not None:
                yield found
            elif step[1] == _LEAF:
                # It may hold an xl.json, which listing it tells.
                yield from self._enter(child, frozenset(), stack)

    def _enter(
        self, path: Path, parts: frozenset[bytes], stack: list[tuple[Path, Iterator[_Step]]]
    ) -> Iterator[Problem]:
        try:
            with self._reader.listing(path, parts) as listing:
                leaves = {
                    name
                    for name in listing.children
                    if not self._reader.may_have_children(path, name, listing.descriptor)
                }
                steps = _steps(listing.children, leaves)
                problems = listing.problems
        except OSError as error:
            problems, steps = (failed_directory(path, error),), []
        yield from problems
        stack.append((path, iter(steps)))


def _steps(children: tuple[bytes, ...], leaves: set[bytes]) -> list[_Step]:
    steps: list[_Step] = []
    for name in children:
        key = name[: -len(_SUFFIX)] + b"/" if name.endswith(_SUFFIX) else name
        if name in leaves:
            steps.append((key, _LEAF, name))
        else:
            steps += ((key, _OBJECT, name), (name + b"/", _SUBTREE, name))
    steps.sort()
    return steps


def count_inodes(drive: Drive, bucket: str, tell: Callable[[], None] = lambda: None) -> int:
    """Files and directories below a bucket, its own directory included. DriveError is never raised: what
    vanishes meanwhile is not counted. `tell` is called now and then, for it may take as long as a sweep.
    """
    total = 1
    root = os.path.join(os.fsencode(drive.path), naming.raw(bucket))
    for number, (_, directories, names) in enumerate(os.walk(root)):
        if number % TELL_EVERY == 0:
            tell()
        total += len(directories) + len(names)
    return total
