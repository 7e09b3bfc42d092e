"""Rows that were packed by the reader of their files: which of them may be written as they are.

A sealed row of a key that no row and no mark knows is applied by every rule of `commit`, so its bytes go into
the store as they came. All others are opened into puts, and `decide` judges them like any other put.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Container, Iterable, Sized
from itertools import groupby

from dualtrack.engine.native import comparing, index, library
from dualtrack.engine.rows import RowOrigin, is_system
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.decide import Counters
from dualtrack.engine.stores.protocol import Outcome, Place, Put, SealedRows
from dualtrack.errors import OwnerError


def place_of(full: bytes) -> Place:
    return keys.split_full(full)


def open_one(drive: bytes, rows: SealedRows, number: int) -> Put:
    """The put that a sealed row stands for, its seal checked."""
    stored = envelope.unpack(drive, rows.fulls[number], rows.values[number])
    summary = envelope.index_summary(drive, rows.fulls[number], rows.entries[number])
    return Put(stored.row, summary, versions=stored.versions)


def checked(drive: bytes, rows: SealedRows) -> SealedRows:
    """Rows that come from another process, held against everything that `SealedRows` promises.

    StoreCorruptError for a damaged one, OwnerError for one that is something else.
    """
    if not len(rows.fulls) == len(rows.values) == len(rows.entries) == len(rows.versions):
        raise OwnerError("sealed rows come in lists of different lengths; use one build on both sides")
    if _soundly_of_one_sweep(drive, rows):
        return rows
    generations = set()
    for number, full in enumerate(rows.fulls):
        stored = envelope.unpack(drive, full, rows.values[number])
        _, check = envelope.unpack_index(drive, full, rows.entries[number])
        row = stored.row
        generations.add(row.generation)
        plain = row.present and row.origin is RowOrigin.FS and not is_system(row.bucket)
        if not plain or (stored.summary_check, stored.versions) != (check, rows.versions[number]):
            raise OwnerError(f"the sealed row of {row.bucket}/{row.key} is not one of a sweep")
    if len(generations) > 1 or len(set(rows.fulls)) != len(rows.fulls):
        raise OwnerError("sealed rows of several generations or of one key came in one batch")
    return rows


def _soundly_of_one_sweep(drive: bytes, rows: SealedRows) -> bool:
    """Whether all of it holds, found out for all rows at a time: the owner serves others meanwhile. False
    leaves it to who opens each row, and says what is wrong with it.
    """
    found = library.library()
    if found is None or not rows.fulls or len(set(rows.fulls)) != len(rows.fulls):
        return False
    first = envelope.unpack_row(drive, rows.fulls[0], rows.values[0])
    buckets = {full.partition(b"\0")[0] for full in rows.fulls}
    return (
        first.present
        and first.origin is RowOrigin.FS
        and not any(is_system(os.fsdecode(bucket)) for bucket in buckets)
        and min(map(len, rows.values)) > envelope.OVERHEAD
        and envelope.of_one_sweep(rows.values, rows.entries, rows.versions)
        and comparing.sealed_well(found, drive, rows.fulls, rows.values)
        and index.sound(drive, rows.fulls, rows.entries)
    )


def to_be_judged(
    rows: SealedRows, known: Container[bytes], dirty: Container[Place], puts: Collection[bytes]
) -> list[int]:
    """Numbers of the rows whose key a row, a mark, another put of the batch or another one of them knows.

    A directory that changes while it is listed may give a name twice.
    """
    marked = not isinstance(dirty, Sized) or len(dirty) > 0
    again = set(puts)
    if len(set(rows.fulls)) < len(rows.fulls):
        again.update(full for full, times in Counter(rows.fulls).items() if times > 1)
    return [
        number
        for number, full in enumerate(rows.fulls)
        if full in known or full in again or (marked and place_of(full) in dirty)
    ]


def in_order(puts: int, outcomes: tuple[Outcome, ...], judged: list[int], sealed: int) -> tuple[Outcome, ...]:
    """Outcomes of the puts and of the judged rows, put into the batch's order among the new ones."""
    of_rows = [Outcome.APPLIED] * sealed
    for number, outcome in zip(judged, outcomes[puts:], strict=True):
        of_rows[number] = outcome
    return (*outcomes[:puts], *of_rows)


def count_new(rows: SealedRows, numbers: Iterable[int]) -> Counters:
    """What rows of keys that nobody knew add to the counters."""
    counters: Counters = {}
    for bucket, group in groupby(numbers, lambda number: rows.fulls[number].partition(b"\0")[0]):
        of_group = list(group)
        versions = sum(map(rows.versions.__getitem__, of_group))
        had = counters.get(os.fsdecode(bucket), (0, 0))
        counters[os.fsdecode(bucket)] = had[0] + len(of_group), had[1] + versions
    return counters


def added(a: Counters, b: Counters) -> Counters:
    """Both together."""
    total = dict(a)
    for bucket, (objects, versions) in b.items():
        had = total.get(bucket, (0, 0))
        total[bucket] = had[0] + objects, had[1] + versions
    return total
