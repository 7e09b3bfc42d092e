"""What a batch does to the rows it finds: a pure function, so that every store decides alike.

A store reads the rows of a batch, asks here, and writes what comes back, all in one transaction.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from dualtrack.engine.rows import Generation, RowOrigin, is_system
from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.protocol import Outcome, Place, Put
from dualtrack.engine.stores.standing import Standing
from dualtrack.errors import StoreCorruptError

Counters = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Change:
    """`value` is the row's envelope, `index` the packed index entry; `unlist`: an entry may have to go."""

    value: bytes
    index: bytes
    unlist: bool


def decide(
    drive: bytes,
    fulls: Sequence[bytes],
    puts: Sequence[Put],
    known: Mapping[bytes, envelope.Stored],
    damaged: Mapping[bytes, Standing],
    trust: Generation,
    dirty: Container[Place],
) -> tuple[tuple[Outcome, ...], dict[bytes, Change], Counters]:
    """One outcome a put, and what is to be written for those that are applied.

    A later put of the same batch sees the earlier ones. `damaged` are rows that are there and cannot be
    believed: `StoreCorruptError` where a put that is neither a sweep's nor a mend's meets one.
    """
    latest = dict(known)
    lost = dict(damaged)
    outcomes: list[Outcome] = []
    changes: dict[bytes, Change] = {}
    counters: Counters = {}
    for full, put in zip(fulls, puts, strict=True):
        before = latest.get(full)
        if is_system(put.row.bucket) and put.summary:
            raise ValueError(f"{put.row.bucket} is a system volume: it has no index entry")
        check = envelope.summary_check(drive, full, put.summary)
        after = envelope.Stored(put.row, put.versions if put.row.present else 0, check)
        if full in lost:
            outcome = _over_damage(put, lost[full])
        else:
            outcome = _outcome(put, before, after, trust, dirty)
        outcomes.append(outcome)
        if outcome is not Outcome.APPLIED:
            continue
        index = envelope.pack_index(put.summary, check) if put.summary else b""
        value = envelope.pack(drive, full, after.row, after.versions, check)
        changes[full] = Change(value, index, _listed(full, known, damaged))
        latest[full] = after
        _count(counters, before, after, lost.pop(full, None))
    return tuple(outcomes), changes, counters


def _listed(full: bytes, known: Mapping[bytes, envelope.Stored], damaged: Mapping[bytes, Standing]) -> bool:
    """Whether an index entry lies there before the batch."""
    if full in damaged:
        return damaged[full].listed
    return full in known and known[full].summary_check != 0


def _over_damage(put: Put, found: Standing) -> Outcome:
    match put.expect:
        case "mend":
            return Outcome.APPLIED
        case "older":
            return Outcome.DAMAGED
        case "any":
            raise StoreCorruptError(found.message)


def _outcome(
    put: Put,
    before: envelope.Stored | None,
    after: envelope.Stored,
    trust: Generation,
    dirty: Container[Place],
) -> Outcome:
    sweeping = put.expect == "older"
    if sweeping and (put.row.bucket, put.row.key) in dirty:
        return Outcome.DIRTY
    if before is None:
        return Outcome.APPLIED
    same = (
        before.row.same_content(after.row)
        and before.versions == after.versions
        and before.summary_check == after.summary_check
    )
    if same and before.row.generation >= min(trust, after.row.generation):
        return Outcome.SAME
    if before.row.generation >= after.row.generation:
        return Outcome.NEWER
    # Below the floor it is from before a restore: the floor moves only while files are the truth.
    if sweeping and before.row.origin is RowOrigin.KV and before.row.generation >= trust:
        return Outcome.NEWER
    return Outcome.APPLIED


def _count(
    counters: Counters, before: envelope.Stored | None, after: envelope.Stored, lost: Standing | None
) -> None:
    had_objects, had_versions = (int(before.row.present), before.versions) if before else (0, 0)
    if lost is not None:
        had_objects, had_versions = lost.objects, lost.versions
    objects, versions = int(after.row.present) - had_objects, after.versions - had_versions
    if objects or versions:
        bucket = after.row.bucket
        had = counters.get(bucket, (0, 0))
        counters[bucket] = (had[0] + objects, had[1] + versions)
