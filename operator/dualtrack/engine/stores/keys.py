"""How (bucket, key) becomes a store key whose byte order is S3's order, although LMDB's keys end at 511
bytes.

The full key is `bucket NUL key` (neither can hold a NUL, so the order of full keys is the order of the
pairs). A full key of up to 510 bytes is stored as it is. A longer one is split: the first 510 bytes and a NUL
are a
*branch* in the main table, whose value names a child; under that child, in the table of long keys, lies
`child id (8) + next segment` with segments of up to 502 bytes, and so on. Nothing is hashed: order stays
exact and two keys can never meet.

A branch is recognised by its length, 511, which no leaf has. It sorts directly after the leaf that equals its
segment and before every other, as the longer key that it stands for does.
"""

from __future__ import annotations

import os
import struct

LIMIT = 511
ROOT_SEGMENT = LIMIT - 1
CHILD_SEGMENT = LIMIT - 9
MAX_FULL = 65_536
"""Longer than any path on a drive; a key beyond it is not one."""

_CHILD = struct.Struct(">Q")


def full_key(bucket: str, key: str) -> bytes:
    return os.fsencode(bucket) + b"\0" + os.fsencode(key)


def split_full(full: bytes) -> tuple[str, str]:
    bucket, _, key = os.fsdecode(full).partition("\0")
    return bucket, key


def acceptable(bucket: str, key: str) -> bool:
    """Whether the pair can be a place at all. An empty key is the start of a bucket, never a row."""
    full = full_key(bucket, key)
    return full.count(b"\0") == 1 and not full.startswith(b"\0") and len(full) <= MAX_FULL


def segments(full: bytes) -> list[bytes]:
    """The pieces of a full key: all but the last are branches."""
    deeper = range(ROOT_SEGMENT, len(full), CHILD_SEGMENT)
    return [full[:ROOT_SEGMENT], *(full[start : start + CHILD_SEGMENT] for start in deeper)]


def branch(segment: bytes) -> bytes:
    return segment + b"\0"


def pack_child(identifier: int) -> bytes:
    return _CHILD.pack(identifier)


CHILD_LENGTH = _CHILD.size


def unpack_child(value: bytes) -> int:
    number: int = _CHILD.unpack(value)[0]
    return number
