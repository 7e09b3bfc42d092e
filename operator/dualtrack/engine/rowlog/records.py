"""A log's bytes: frames that carry their own check and are chained, and what a store notes of its log.

Frame, big-endian:

    magic (4) | length of the body u64 | seq u64 | flushed u64 | time u64 (ns) | CRC32 of these | body |
    SHA-256 over the chain value before, the head and the body

The SHA-256 is the chain value for the next frame, so no record can be changed, taken out or put in between.
`flushed` says how far the log was known to be durable when the frame was written: a bad record below it was
promised and is damage; one above it is what a power cut leaves (`segments.py`).

The body of a record (`DTR1`) is its changes one after another: table (1), length of the key u32, length of
the value u32 (all ones: deleted), key, value. Keys and values are those of the store's tables, so every row
in it also has the row's own seal. A segment begins with a head (`DTH1`), whose body is JSON.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from dualtrack.engine.stores.recording import Change
from dualtrack.engine.stores.transaction import INDEX, META, ROWS
from dualtrack.errors import StoreCorruptError, StoreVersionError

RECORD, HEADER = b"DTR1", b"DTH1"
VERSION = 2
START = bytes(32)
"""The chain value before the first record of a log."""
_HEAD = struct.Struct(">4sQQQQI")
_CHANGE = struct.Struct(">cII")
_CHAIN = 32
_DELETED = 0xFFFF_FFFF
_LETTERS = {ROWS: b"r", INDEX: b"i", META: b"m"}
_TABLES = {letter: table for table, letter in _LETTERS.items()}
HEAD_SIZE = _HEAD.size


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a frame, verified by itself."""

    magic: bytes
    length: int
    seq: int
    flushed: int
    time_ns: int

    @property
    def rest(self) -> int:
        """Bytes that follow in this frame."""
        return self.length + _CHAIN


@dataclass(frozen=True, slots=True)
class Position:
    """How far into a log a store is: it has all records up to `seq`, whose chain value is `chain`.

    `term` is the store's at that commit: an opener that went without the log has raised it since. A snapshot
    says of itself, too: `until`, the record that its last page may have seen already, and `changes`, its own
    count of them, which tells whether anybody has written into it.
    """

    log: str
    seq: int
    chain: str
    term: int
    until: int = 0
    changes: int = -1

    @classmethod
    def of(cls, value: bytes | None) -> Position | None:
        return None if value is None else cls(**json.loads(value))

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def of_copy(self, term: int, until: int, changes: int) -> Position:
        return replace(self, term=term, until=until, changes=changes)


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself. Its first record is `first`, and `previous` the chain value before.

    `flush_seconds` is here because whoever makes a lost store anew has nothing else that says it. Version 1
    had none.
    """

    log: str
    store: str
    drive: str
    number: int
    first: int
    previous: str
    flush_seconds: int = 0
    version: int = VERSION

    def pack(self, time_ns: int) -> bytes:
        frame, _ = pack_frame(HEADER, 0, 0, time_ns, json.dumps(asdict(self)).encode(), START)
        return frame


def pack_frame(
    magic: bytes, seq: int, flushed: int, time_ns: int, body: bytes, before: bytes
) -> tuple[bytes, bytes]:
    """(the frame, its chain value)"""
    head = _HEAD.pack(magic, len(body), seq, flushed, time_ns, 0)[:-4]
    head += zlib.crc32(head).to_bytes(4, "big")
    chain = chain_of(head, body, before)
    return b"".join((head, body, chain)), chain


def chain_of(head: bytes, body: bytes, before: bytes) -> bytes:
    digest = hashlib.sha256(before)
    digest.update(head)
    digest.update(body)
    return digest.digest()


def unpack_head(data: bytes) -> Head | None:
    """None for what is no whole and sound head."""
    if len(data) < HEAD_SIZE or data[:4] not in (RECORD, HEADER):
        return None
    magic, length, seq, flushed, time_ns, check = _HEAD.unpack_from(data)
    if zlib.crc32(data[: HEAD_SIZE - 4]) != check:
        return None
    return Head(magic, length, seq, flushed, time_ns)


def split_rest(rest: bytes) -> tuple[bytes, bytes]:
    """(body, chain value) of what follows a head."""
    return rest[:-_CHAIN], rest[-_CHAIN:]


def unpack_header(path: str, body: bytes) -> Header:
    """`StoreVersionError` where a newer build wrote it."""
    fields = json.loads(body)
    if fields["version"] > VERSION:
        raise StoreVersionError(f"{path} has version {fields['version']}, this build knows {VERSION}")
    return Header(**fields)


def pack_changes(changes: Sequence[Change]) -> bytes:
    pieces: list[bytes] = []
    for table, key, value in changes:
        size = _DELETED if value is None else len(value)
        pieces += (_CHANGE.pack(_LETTERS[table], len(key), size), key, value or b"")
    return b"".join(pieces)


def unpack_changes(body: bytes) -> Iterator[Change]:
    """The changes of a record whose chain value was right."""
    at = 0
    while at < len(body):
        letter, key_size, size = _CHANGE.unpack_from(body, at)
        at += _CHANGE.size
        key = body[at : at + key_size]
        at += key_size
        if letter not in _TABLES:
            raise StoreCorruptError(f"a record of the row log names a table {letter!r} that no build knows")
        if size == _DELETED:
            yield _TABLES[letter], key, None
            continue
        yield _TABLES[letter], key, body[at : at + size]
        at += size
