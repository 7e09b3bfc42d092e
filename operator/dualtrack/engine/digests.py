"""The digest that says whether two sets of rows are the same, whoever read them and in whatever order.

Each row gives one XXH3-128 over bucket, key and bytes; the digest is their sum modulo 2**128, with the count.
A sum needs no order and, unlike XOR, does not cancel a pair of equal rows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import xxhash

_SPAN = 2**128


@dataclass(frozen=True, slots=True)
class Digest:
    """Order-free digest of a set of (bucket, key, bytes): a 128-bit sum of one hash a row, with the count."""

    total: int
    count: int

    def __str__(self) -> str:
        return f"xxh3:{self.total:032x}/{self.count}"


def row_hash(bucket: str, key: str, data: bytes) -> int:
    return full_hash(b"\0".join((os.fsencode(bucket), os.fsencode(key))), data)


def full_hash(full: bytes, data: bytes) -> int:
    """The same by the full key, which is bucket, NUL and key."""
    return xxhash.xxh3_128_intdigest(b"\0".join((full, data)))


class DigestSum:
    """A digest that is still being summed."""

    __slots__ = ("_count", "_total")

    def __init__(self, start: Digest | None = None) -> None:
        self._total = start.total if start else 0
        self._count = start.count if start else 0

    def add(self, bucket: str, key: str, data: bytes) -> None:
        self._total += row_hash(bucket, key, data)
        self._count += 1

    def include(self, total: int, count: int) -> None:
        """Rows whose hashes somebody else has summed."""
        self._total += total
        self._count += count

    def value(self) -> Digest:
        return Digest(self._total % _SPAN, self._count)
