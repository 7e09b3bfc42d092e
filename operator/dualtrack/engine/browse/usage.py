"""How much lies below each prefix, in one pass over the keys in order.

Keys below one prefix stand together, so a prefix is complete when the first key outside it comes: only the
prefixes that lead to the current key are open at any time. Each includes what lies below it, as in du(1), and
is told after what it contains, the bucket (the empty prefix) last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dualtrack.engine.browse.keys import Key
from dualtrack.engine.entries import Entry


@dataclass(frozen=True, slots=True)
class Usage:
    """`bytes` as clients see them."""

    bucket: str
    prefix: str
    objects: int = 0
    versions: int = 0
    bytes: int = 0

    def with_(self, objects: int, versions: int, size: int) -> Usage:
        return replace(
            self, objects=self.objects + objects, versions=self.versions + versions, bytes=self.bytes + size
        )


def latest(found: Iterable[Key]) -> Iterator[tuple[str, int, int, int]]:
    """(key, objects, versions, bytes of the latest version), from the index alone. An object whose latest
    version is a delete marker is none, but its versions count.
    """
    for each in found:
        yield each.key, int(each.summary.listed), each.summary.version_count, each.summary.size


def every_version(found: Iterable[tuple[Key, list[Entry]]]) -> Iterator[tuple[str, int, int, int]]:
    """The same with the bytes of all versions."""
    for each, listed in found:
        size = sum(entry.size for entry in listed)
        yield each.key, int(each.summary.listed), each.summary.version_count, size


def usage(
    bucket: str, prefix: str, counted: Iterable[tuple[str, int, int, int]], depth: int
) -> Iterator[Usage]:
    """Usage of `prefix` and of the prefixes at most `depth` levels below it."""
    stack = [Usage(bucket, prefix)]
    for key, *numbers in counted:
        wanted = _prefixes(key, prefix, depth)
        while len(stack) > 1 and stack[-1].prefix not in wanted:
            yield _close(stack)
        stack += [Usage(bucket, each) for each in wanted[len(stack) - 1 :]]
        stack[-1] = stack[-1].with_(*numbers)
    while len(stack) > 1:
        yield _close(stack)
    yield stack[0]


def _prefixes(key: str, prefix: str, depth: int) -> list[str]:
    """The prefixes below `prefix` that the key lies in, shortest first."""
    found: list[str] = []
    position = len(prefix)
    while len(found) < depth and (slash := key.find("/", position)) >= 0:
        found.append(key[: slash + 1])
        position = slash + 1
    return found


def _close(stack: list[Usage]) -> Usage:
    done = stack.pop()
    stack[-1] = stack[-1].with_(done.objects, done.versions, done.bytes)
    return done
