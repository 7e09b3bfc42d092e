"""The bytes around a row: what finds a flipped bit, a value under the wrong key and a row of another drive.

No store is trusted to check (LMDB checks nothing), so every value carries its own proof. Layout, big-endian:

    magic "DR" | schema u8 | state u8 | origin u8 | name u8 | generation (u32, u64) | fingerprint (u64 inode,
    u64 size, i64 mtime, i64 ctime) | mode u32 | uid u32 | gid u32 | mtime i64 | check of the summary u64 |
    versions u32 | length u32 | XXH3-128 | payload

The XXH3-128 goes over drive id, bucket, key, header and payload; through the check of the summary it also
covers the index entry that belongs to this row. An index entry is the summary and that check: XXH3-64 over
drive id, bucket, key and summary. A meta value is the value and an XXH3-64 over its name and itself.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash

from dualtrack.engine.naming import MetaName
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import keys
from dualtrack.errors import StoreCorruptError, StoreVersionError

SCHEMA = 1
_MAGIC = b"DR"
_HEADER = struct.Struct(">2sBBBBIQQQqqIIIqQII")
_CHECK = 16
INDEX_CHECK = 8
"""Bytes before the summary in an index entry, and before a meta value."""
OVERHEAD = _HEADER.size + _CHECK
_BEFORE_GENERATION, _AFTER_GENERATION, _AFTER_FINGERPRINT, _SUMMARY_CHECK = 6, 18, 50, 70
_COUNTS = struct.Struct(">II")
_PRESENT = int(RowState.PRESENT)
_STATES = {int(state): state for state in RowState}
_ORIGINS = {int(origin): origin for origin in RowOrigin}
_NAMES = {int(name): name for name in MetaName}


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as it lies in the store, verified, with what only the store needs to know of it."""

    row: Row
    versions: int
    summary_check: int


def _seal(drive: bytes, full: bytes, header: bytes, payload: bytes) -> bytes:
    return xxhash.xxh3_128_digest(b"\0".join((drive, full, header)) + payload)


def summary_check(drive: bytes, full: bytes, summary: bytes) -> int:
    """0 for a row without an index entry."""
    return xxhash.xxh3_64_intdigest(b"\0".join((drive, full, summary))) if summary else 0


def pack(drive: bytes, full: bytes, row: Row, versions: int, check: int) -> bytes:
    fingerprint = row.fingerprint
    header = _HEADER.pack(
        _MAGIC,
        SCHEMA,
        row.state,
        row.origin,
        row.name,
        row.generation.term,
        row.generation.counter,
        fingerprint.inode,
        fingerprint.size,
        fingerprint.mtime_ns,
        fingerprint.ctime_ns,
        row.mode,
        row.uid,
        row.gid,
        row.mtime_ns,
        check,
        versions,
        len(row.data),
    )
    return b"".join((header, _seal(drive, full, header, row.data), row.data))


def unpack(drive: bytes, full: bytes, value: bytes) -> Stored:
    """The verified row stored as `value` under `full`. Raises `StoreCorruptError` naming the object."""
    return Stored(*_opened(drive, full, value))


def unpack_row(drive: bytes, full: bytes, value: bytes) -> Row:
    """The same without what only the store needs: a read at random does this for each row."""
    return _opened(drive, full, value)[0]


def _opened(drive: bytes, full: bytes, value: bytes) -> tuple[Row, int, int]:
    """The verified row, its versions and the check of its summary."""
    header = value[: _HEADER.size]
    if len(value) < OVERHEAD or header[:2] != _MAGIC:
        raise _damaged(full, "does not begin like a row")
    payload = value[OVERHEAD:]
    if value[_HEADER.size : OVERHEAD] != _seal(drive, full, header, payload):
        raise _damaged(full, "does not match its checksum, or belongs to another key or drive")
    (
        _,
        schema,
        state,
        origin,
        name,
        term,
        counter,
        inode,
        size,
        file_mtime,
        ctime,
        mode,
        uid,
        gid,
        mtime,
        check,
        versions,
        length,
    ) = _HEADER.unpack(header)
    if schema != SCHEMA:
        raise StoreVersionError(
            f"the row of {full!r} has schema {schema}, this build knows {SCHEMA}; use a newer one"
        )
    if length != len(payload):
        raise _damaged(full, f"announces {length} bytes and holds {len(payload)}")
    bucket, key = keys.split_full(full)
    row = Row(
        bucket,
        key,
        Generation(term, counter),
        _STATES[state],
        _ORIGINS[origin],
        Fingerprint(inode, size, file_mtime, ctime),
        mode,
        uid,
        gid,
        mtime,
        payload,
        _NAMES[name],
    )
    return row, versions, check


def says_the_same(a: bytes, b: bytes) -> bool:
    """Whether two packed rows say the same of their object and its file, whatever their generations and
    whichever inode they were read from. Neither is verified by this.
    """
    return (
        a[OVERHEAD:] == b[OVERHEAD:]
        and a[_AFTER_FINGERPRINT : _HEADER.size] == b[_AFTER_FINGERPRINT : _HEADER.size]
        and a[:_BEFORE_GENERATION] == b[:_BEFORE_GENERATION]
    )


def payload_of(value: bytes) -> bytes:
    """The bytes of the `xl.meta` in a packed row."""
    return value[OVERHEAD:]


def of_one_sweep(values: Sequence[bytes], entries: Sequence[bytes], versions: Sequence[int]) -> bool:
    """Whether all headers begin as the first one's does, down to its generation, and each announces its own
    index entry's check, number of versions and length. No seal is checked by this.
    """
    begin = values[0][:_AFTER_GENERATION] if values else b""
    return all(
        value[:_AFTER_GENERATION] == begin
        and value[_SUMMARY_CHECK : _HEADER.size]
        == entry[:INDEX_CHECK] + _COUNTS.pack(count, len(value) - OVERHEAD)
        for value, entry, count in zip(values, entries, versions, strict=True)
    )


def seal_of(value: bytes) -> bytes:
    """A row's seal as it lies there."""
    return value[_HEADER.size : OVERHEAD]


def sealed_well(drive: bytes, full: bytes, value: bytes) -> bool:
    """Whether the row is the one that was stored under this key."""
    return value[_HEADER.size : OVERHEAD] == _seal(drive, full, value[: _HEADER.size], value[OVERHEAD:])


def check_of(entry: bytes) -> bytes:
    """An index entry's check as it lies there."""
    return entry[:INDEX_CHECK]


def glance(full: bytes, value: bytes) -> tuple[int, int, bytes]:
    """State, origin and packed generation of a row that has not been verified: enough to pass it over, never
    to act upon.
    """
    if len(value) < OVERHEAD:
        raise _damaged(full, "does not begin like a row")
    return value[3], value[4], generation(value)


def looks_present(value: bytes) -> bool:
    """Whether a row calls itself present. Not verified."""
    return len(value) >= OVERHEAD and value[3] == _PRESENT


def counted(value: bytes) -> tuple[bool, int]:
    """Whether a row that may be damaged calls itself present, and its number of versions. Not verified."""
    if len(value) < OVERHEAD or value[3] != RowState.PRESENT:
        return False, 0
    return True, int(_HEADER.unpack_from(value)[16])


def generation(value: bytes) -> bytes:
    """The packed generation of an envelope, which sorts as generations do."""
    return value[6:18]


def pack_index(summary: bytes, check: int) -> bytes:
    return check.to_bytes(INDEX_CHECK, "big") + summary


def unpack_index(drive: bytes, full: bytes, value: bytes) -> tuple[bytes, int]:
    """(summary, its check) of a verified index entry."""
    return index_summary(drive, full, value), int.from_bytes(value[:INDEX_CHECK], "big")


def index_summary(drive: bytes, full: bytes, value: bytes) -> bytes:
    """The summary of a verified index entry, by the shortest way: a listing does this for each key."""
    summary = value[INDEX_CHECK:]
    if not summary or value[:INDEX_CHECK] != xxhash.xxh3_64_digest(b"\0".join((drive, full, summary))):
        raise _damaged(full, "has an index entry that does not match its checksum")
    return summary


def index_summaries(drive: bytes, entries: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """The same of many entries (full key, value) at a time: a listing's page is checked in one go."""
    head, digest = drive + b"\0", xxhash.xxh3_64_digest
    summaries = [value[INDEX_CHECK:] for _, value in entries]
    sound = [
        value[:INDEX_CHECK] == digest(b"".join((head, full, b"\0", summary)))
        for (full, value), summary in zip(entries, summaries, strict=True)
    ]
    if not all(sound) or b"" in summaries:
        for full, value in entries:
            index_summary(drive, full, value)
    return summaries


def pack_meta(name: bytes, value: bytes) -> bytes:
    return xxhash.xxh3_64_digest(name + b"\0" + value) + value


def unpack_meta(name: bytes, stored: bytes) -> bytes:
    value = stored[INDEX_CHECK:]
    if stored[:INDEX_CHECK] != xxhash.xxh3_64_digest(name + b"\0" + value):
        raise StoreCorruptError(
            f"the store's value {name.decode(errors='replace')!r} does not match its checksum; "
            "use a snapshot of the store, or rebuild it from the drive while no file has been cleaned up"
        )
    return value


def _damaged(full: bytes, what: str) -> StoreCorruptError:
    bucket, key = keys.split_full(full)
    return StoreCorruptError(
        f"the row of {bucket}/{key} {what}; use a snapshot of the store, or rebuild it from the drive "
        "while no file has been cleaned up"
    )
