"""The keys of a store in S3's order, by bucket and prefix, with or without a delimiter.

One page of the index at a time. Below a common prefix nothing is read: the walk seeks behind it, so that the
top level of a bucket of millions costs as many look-ups as it shows lines. Rows are read only where somebody
asks for versions, tags or metadata, in batches.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from dualtrack.engine.browse.together import Together
from dualtrack.engine.entries import Entry, entries
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.look import Look
from dualtrack.engine.rows import is_system
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.summary import Summary
from dualtrack.errors import UsageError

Browsed = Look | Together
"""One store, or those of several drives."""
PAGE = 1_000
BATCH = 256
_PAST = "\udcff" * 8
"""Behind every key that continues a prefix: no UTF-8 has this byte."""


@dataclass(frozen=True, slots=True)
class Key:
    """An object with what the index says of its latest version."""

    bucket: str
    key: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class CommonPrefix:
    """What stands for every key below it."""

    bucket: str
    prefix: str


def buckets(store: Browsed) -> list[str]:
    """In listing order; system volumes are not among them."""
    if isinstance(store, Together):
        return store.buckets()
    return sorted((name for name in store.stats().objects if not is_system(name)), key=os.fsencode)


def counts(store: Browsed) -> Iterator[tuple[str, int, int]]:
    """(bucket, objects, versions) of each bucket."""
    if isinstance(store, Together):
        for name in store.buckets():
            yield name, *store.counts(name)
        return
    stats = store.stats()
    for name in buckets(store):
        yield name, stats.objects.get(name, 0), stats.versions.get(name, 0)


def chosen(store: Browsed, path: str | None) -> list[tuple[str, str]]:
    """(bucket, prefix) for `BUCKET`, `BUCKET/PREFIX` or nothing, which is every bucket. `UsageError` for a
    bucket that the store does not know.
    """
    known = buckets(store)
    if not path:
        return [(name, "") for name in known]
    bucket, _, prefix = path.partition("/")
    if bucket not in known:
        raise UsageError(f"{bucket!r} is no bucket of this store; it has: {', '.join(known[:20]) or 'none'}")
    return [(bucket, prefix)]


def keys(store: Browsed, bucket: str, prefix: str = "", delimiter: str = "") -> Iterator[Key | CommonPrefix]:
    """Every key that starts with `prefix`; with a delimiter one common prefix for all that share it."""
    after: str | None = None
    size = PAGE if not delimiter else 32
    while page := store.list_index(bucket, prefix, after, size):
        for key, summary in page:
            rolled = _rolled(key, prefix, delimiter)
            if rolled is not None:
                yield CommonPrefix(bucket, rolled)
                after = rolled + _PAST
                size = 32
                break
            yield Key(bucket, key, summary)
            after = key
        else:
            size = min(PAGE, size * 2)


def _rolled(key: str, prefix: str, delimiter: str) -> str | None:
    if not delimiter:
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


def versions(store: Browsed, found: Iterable[Key]) -> Iterator[tuple[Key, list[Entry]]]:
    """Each key with all its versions, newest first, from its row. One that is gone meanwhile is left out."""
    if isinstance(store, Together):
        yield from ((each, store.versions(each.key)) for each in found)
        return
    waiting = iter(found)
    while batch := list(islice(waiting, BATCH)):
        places: list[Place] = [(each.bucket, each.key) for each in batch]
        for each, row in zip(batch, store.get_many(places), strict=True):
            if row is not None and row.present:
                yield each, entries(row.bucket, row.key, xlmeta.decode(row.data))
