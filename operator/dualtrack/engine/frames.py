"""What goes over the owner's socket: a length and one MessagePack item, with the engine's values in it.

`formats/wire.py` reads MessagePack that a drive holds, with the caps of that format; this is our own protocol
between two processes of ours, with caps of its own, so it has its own small importer of msgpack. A frame is
at most 320 MiB, a batch with the largest file in it; what does not decode ends the connection (`OwnerError`).
Names travel as bytes (`os.fsencode`), because they need not be text.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

import msgpack
import xxhash

from dualtrack.engine.naming import MetaName
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores.coverage import Stretch
from dualtrack.engine.stores.matching import Checks, Matched
from dualtrack.engine.stores.protocol import Batch, BatchResult, Outcome, Put, SealedRows
from dualtrack.errors import OwnerError, StoreCorruptError

MAX_FRAME = 320 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_CHECK = 16
_SUM = 24
"""Bytes of a sum of 128-bit hashes."""


def send(connection: socket.socket, value: Any) -> None:
    data = msgpack.packb(value, use_bin_type=True)
    if len(data) > MAX_FRAME:
        raise OwnerError(
            f"a message of {len(data)} bytes is over the {MAX_FRAME} of a frame; use smaller batches"
        )
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive(connection: socket.socket) -> Any:
    """The next item; None where the other side has closed between two frames (no frame is None)."""
    head = _exactly(connection, _LENGTH.size, at_start=True)
    if head is None:
        return None
    length = _LENGTH.unpack(head)[0]
    if length > MAX_FRAME:
        raise OwnerError(f"a frame of {length} bytes was announced; the other side speaks something else")
    data = _exactly(connection, length, at_start=False)
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise OwnerError(f"a frame on the owner's socket cannot be decoded ({error})") from error


def _exactly(connection: socket.socket, size: int, *, at_start: bool) -> bytes | None:
    pieces = bytearray()
    while len(pieces) < size:
        piece = connection.recv(min(size - len(pieces), 1 << 20))
        if not piece:
            if at_start and not pieces:
                return None
            raise ConnectionResetError("the connection ended in the middle of a message")
        pieces += piece
    return bytes(pieces)


def pack_row(row: Row) -> list[Any]:
    fingerprint = row.fingerprint
    return [
        os.fsencode(row.bucket),
        os.fsencode(row.key),
        row.generation.term,
        row.generation.counter,
        int(row.state),
        int(row.origin),
        [fingerprint.inode, fingerprint.size, fingerprint.mtime_ns, fingerprint.ctime_ns],
        row.mode,
        row.uid,
        row.gid,
        row.mtime_ns,
        row.data,
        int(row.name),
    ]


def unpack_row(item: Sequence[Any]) -> Row:
    # Rows that an earlier build kept in files say no name.
    bucket, key, term, counter, state, origin, fingerprint, mode, uid, gid, mtime_ns, data, *name = item
    return Row(
        os.fsdecode(bucket),
        os.fsdecode(key),
        Generation(term, counter),
        RowState(state),
        RowOrigin(origin),
        Fingerprint(*fingerprint),
        mode,
        uid,
        gid,
        mtime_ns,
        data,
        MetaName(*name) if name else MetaName.XL_META,
    )


def row_bytes(row: Row) -> bytes:
    """A row on its own, for a file: a check, then the frame of it."""
    data: bytes = msgpack.packb(pack_row(row), use_bin_type=True)
    return xxhash.xxh3_128_digest(data) + data


def row_of_bytes(data: bytes) -> Row:
    """`StoreCorruptError` where the bytes are not those that were written."""
    check, body = data[:_CHECK], data[_CHECK:]
    if xxhash.xxh3_128_digest(body) != check:
        raise StoreCorruptError("a row that was kept in a file does not match its check")
    return unpack_row(msgpack.unpackb(body, raw=False, strict_map_key=False))


def pack_batch(batch: Batch) -> list[Any]:
    puts = [[pack_row(put.row), put.summary, put.expect, put.versions] for put in batch.puts]
    rows = batch.sealed
    sealed = pack_sealed(rows) if rows else None
    return [batch.fence, puts, [[os.fsencode(k), v] for k, v in batch.meta.items()], batch.cursor, sealed]


def unpack_batch(item: Sequence[Any]) -> Batch:
    fence, puts, meta, cursor, sealed = item
    for _, _, expect, _ in puts:
        if expect not in ("older", "any", "mend"):
            raise OwnerError(f"a put that expects {expect!r} is not known")
    return Batch(
        fence,
        tuple(Put(unpack_row(row), summary, expect, versions) for row, summary, expect, versions in puts),
        {os.fsdecode(name): value for name, value in meta},
        (cursor[0], cursor[1]) if cursor else None,
        SealedRows(*sealed) if sealed else None,
    )


def pack_sealed(rows: SealedRows) -> list[Any]:
    return [rows.fulls, rows.values, rows.entries, rows.versions]


def pack_matched(found: Matched) -> list[Any]:
    sums = (found.digest, found.checks.row_sum, found.checks.entry_sum)
    packed = [each.to_bytes(_SUM, "big") for each in sums]
    counts = [found.checks.rows, found.checks.entries]
    return [found.others, packed, counts, found.rows, found.entries]


def unpack_matched(item: Sequence[Any]) -> Matched:
    others, packed, (rows, entries), *stretches = item
    digest, row_sum, entry_sum = (int.from_bytes(each, "big") for each in packed)
    of_rows, of_entries = (
        None if found is None else [Stretch(*each) for each in found] for found in stretches
    )
    return Matched(others, Checks(rows, row_sum, entries, entry_sum), digest, of_rows, of_entries)


def pack_result(result: BatchResult) -> bytes:
    return bytes(result.outcomes)


def unpack_result(item: bytes) -> BatchResult:
    return BatchResult(tuple(Outcome(each) for each in item))
