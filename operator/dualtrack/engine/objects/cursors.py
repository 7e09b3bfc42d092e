"""The cursors that planes list with: the drive's, the index's, and the index with some keys from the drive.

A plain listing needs a summary a key, a listing of versions the whole metadata. The index gives the first
without reading a row; for the second its keys say which rows to fetch, in batches.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.naming import raw
from dualtrack.engine.objects.documents import decode_meta
from dualtrack.engine.objects.fs_walk import FsCursor
from dualtrack.engine.objects.kv_track import KvTrack
from dualtrack.engine.objects.pages import Cursor
from dualtrack.engine.summary import Summary, summary

T = TypeVar("T")
_PAST = "\udcff" * 8
"""Behind every key that continues a prefix: no UTF-8 has this byte, and a key of others sorts below eight."""


class FsSummaries:
    """The drive's cursor with a summary in place of the metadata."""

    def __init__(self, cursor: FsCursor) -> None:
        self._cursor = cursor

    def next(self) -> tuple[str, Summary] | None:
        found = self._cursor.next()
        return None if found is None else (found[0], summary(found[1]))

    def skip(self, prefix: str) -> None:
        self._cursor.skip(prefix)

    def close(self) -> None:
        self._cursor.close()


class IndexCursor:
    """(key, summary) from the index, from the first key that is not before `start`."""

    def __init__(self, kv: KvTrack, bucket: str, prefix: str, start: str, batch: int) -> None:
        self._kv = kv
        self._bucket = bucket
        self._prefix = prefix
        self._start = start
        self._after: str | None = None
        self._size = batch
        self._batch: list[tuple[str, Summary]] = []
        self._ended = False
        self._begun = False

    def next(self) -> tuple[str, Summary] | None:
        while self._batch or self._fill():
            found = self._batch.pop()
            if self._begun or raw(found[0]) >= raw(self._start):
                self._begun = True
                return found
        return None

    def _fill(self) -> bool:
        if self._ended:
            return False
        after = self._after if self._after is not None else _before(self._start)
        found = self._kv.keeper.list_index(self._bucket, self._prefix, after, self._size)
        self._ended = len(found) < self._size
        if found:
            self._after = found[-1][0]
        self._batch = found[::-1]
        return bool(found)

    def skip(self, prefix: str) -> None:
        while self._batch and raw(self._batch[-1][0]).startswith(raw(prefix)):
            self._batch.pop()
        if not self._batch and not self._ended:
            self._after = prefix + _PAST

    def close(self) -> None:
        self._batch.clear()


def _before(start: str) -> str | None:
    """What sorts right before `start`, for a store that goes on after a key."""
    if not start:
        return None
    data = raw(start)
    return os.fsdecode(data[:-1] + bytes([data[-1] - 1]) + raw(_PAST))


class RowVersions:
    """(key, metadata) of the keys that the index names, their rows fetched in batches."""

    def __init__(self, kv: KvTrack, bucket: str, index: IndexCursor, batch: int = 100) -> None:
        self._kv = kv
        self._bucket = bucket
        self._index = index
        self._size = batch
        self._ready: list[tuple[str, XlMeta]] = []

    def next(self) -> tuple[str, XlMeta] | None:
        while not self._ready:
            names: list[str] = []
            while len(names) < self._size and (found := self._index.next()) is not None:
                names.append(found[0])
            if not names:
                return None
            rows = self._kv.keeper.get_many([(self._bucket, name) for name in names])
            self._ready = [
                (row.key, decode_meta(row.data, self._bucket, row.key)) for row in rows if row and row.present
            ][::-1]
        return self._ready.pop()

    def skip(self, prefix: str) -> None:
        while self._ready and raw(self._ready[-1][0]).startswith(raw(prefix)):
            self._ready.pop()
        if not self._ready:
            self._index.skip(prefix)

    def close(self) -> None:
        self._ready.clear()
        self._index.close()


class Overlay(Generic[T]):
    """A cursor in which some keys are answered by somebody else (None: the key is not there)."""

    def __init__(self, under: Cursor[T], keys: Sequence[str], answer: Callable[[str], T | None]) -> None:
        self._under = under
        self._keys = sorted(keys, key=raw, reverse=True)
        self._named = frozenset(keys)
        self._answer = answer
        self._held: tuple[str, T] | None = None

    def next(self) -> tuple[str, T] | None:
        while True:
            if self._held is None:
                self._held = self._under.next()
            if self._held is not None and self._held[0] in self._named:
                self._held = None
                continue
            if self._keys and (self._held is None or raw(self._keys[-1]) < raw(self._held[0])):
                key = self._keys.pop()
                value = self._answer(key)
                if value is not None:
                    return key, value
                continue
            found, self._held = self._held, None
            return found

    def skip(self, prefix: str) -> None:
        cut = raw(prefix)
        if self._held is not None and raw(self._held[0]).startswith(cut):
            self._held = None
        if self._held is None:
            self._under.skip(prefix)
        self._keys = [key for key in self._keys if not raw(key).startswith(cut)]

    def close(self) -> None:
        self._under.close()


def between(keys: Sequence[str], prefix: str, start: str) -> list[str]:
    """Those of `keys` that a listing with this prefix and start can show."""
    ordered = sorted(keys, key=raw)
    first = bisect_left(ordered, raw(start), key=raw)
    return [key for key in ordered[first:] if raw(key).startswith(raw(prefix))]
