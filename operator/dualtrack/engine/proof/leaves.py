"""The digests of a report: one leaf an object, one digest a range, one root over everything.

The tree is RFC 6962's, with BLAKE2b-256 in place of SHA-256: leaves, inner nodes and the root are hashed in
domains of their own, so none can pass for another. A leaf covers all that a restore has to bring back: the
name, the bytes of the `xl.meta`, its mode, owner and time.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from dualtrack.engine.listing import Found
from dualtrack.engine.rows import Row

SIZE = 32
PREFIX = 8
"""Bytes of a leaf that a range keeps, to find the object that differs. They prove nothing by themselves."""

_STATUS = struct.Struct(">IIIq")
_LENGTH = struct.Struct(">I")


def row_leaf(row: Row) -> bytes:
    return _leaf(row.bucket, row.key, _STATUS.pack(row.mode, row.uid, row.gid, row.mtime_ns), row.data)


def file_leaf(found: Found) -> bytes:
    status = _STATUS.pack(found.mode, found.uid, found.gid, found.fingerprint.mtime_ns)
    return _leaf(found.bucket, found.key, status, found.data)


def _leaf(bucket: str, key: str, status: bytes, data: bytes) -> bytes:
    total = blake2b(digest_size=SIZE, person=b"dualtrack-row-1")
    for name in (os.fsencode(bucket), os.fsencode(key)):
        total.update(_LENGTH.pack(len(name)) + name)
    total.update(status)
    total.update(data)
    return total.digest()


def range_digest(leaves: Iterable[bytes]) -> str:
    """Of the leaves of a range, in key order."""
    total = blake2b(digest_size=SIZE, person=b"dualtrack-rng-1")
    for leaf in leaves:
        total.update(leaf)
    return total.hexdigest()


def canonical(value: object) -> bytes:
    """The one spelling of a JSON value: sorted names, no spaces, ASCII. Reports hold no floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def root(head: object, ranges: Sequence[object]) -> str:
    """`blake2b:` and the root over a report's head and its ranges."""
    tree = merkle([_hash(b"\0", canonical(each)) for each in ranges])
    return "blake2b:" + _hash(b"\2", _hash(b"\3", canonical(head)), tree).hex()


def merkle(level: Sequence[bytes]) -> bytes:
    """The root of a tree over these leaves; a node without a sibling moves up as it is."""
    if not level:
        return _hash(b"")
    while len(level) > 1:
        paired = [_hash(b"\1", *level[first : first + 2]) for first in range(0, len(level) - 1, 2)]
        level = [*paired, *(level[-1:] if len(level) % 2 else ())]
    return level[0]


def _hash(*parts: bytes) -> bytes:
    return blake2b(b"".join(parts), digest_size=SIZE, person=b"dualtrack-rep-1").digest()
