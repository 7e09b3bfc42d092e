"""The C library's comparison of rows: lists of byte strings in, a verdict for each row and sums out.

The lists are joined for the call, which copies each byte once more and is still an order of magnitude cheaper
than looking at a row in Python.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

DIFFERENT, MATCHED, UNHASHED = 0, 1, 2
"""UNHASHED: as MATCHED, but so short that its hash is not in the sum of digests."""
_ANY = bytes(12)
"""The lowest trust floor."""
_LEAST = 8
"""Bytes of the shortest index entry that `dt_match` takes for one: a check."""


class _Strings(ctypes.Structure):
    _fields_ = (("at", ctypes.c_char_p), ("sizes", ctypes.c_void_p))


class _Comparison(ctypes.Structure):
    _fields_ = (
        *((name, _Strings) for name in ("fulls", "values", "entries", "rows", "kept")),
        ("drive", ctypes.c_char_p),
        ("floor", ctypes.c_char_p),
        ("drive_size", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """A state for each row, and the sums of seals, digests and index checks over those that match."""

    states: bytes
    seals: int
    digests: int
    checks: int


def sealed_well(found: ctypes.CDLL, drive: bytes, fulls: Sequence[bytes], values: Sequence[bytes]) -> bool:
    """Whether each row is the one that was sealed under its key. False says nothing of one that is short."""
    nothing = [bytes(_LEAST)] * len(fulls)
    return DIFFERENT not in compare(found, drive, _ANY, (fulls, values, nothing, values, nothing)).states


def compare(found: ctypes.CDLL, drive: bytes, floor: bytes, lists: Sequence[Sequence[bytes]]) -> Compared:
    """`lists` are full keys, fresh values, fresh index entries, stored values, stored index entries, all as
    long as the first; an empty string stands for what is not there.
    """
    count = len(lists[0])
    if any(len(each) != count for each in lists):
        raise ValueError("lists of different lengths cannot be compared")
    joined = [b"".join(each) for each in lists]
    sizes = [array("I", list(map(len, each))) for each in lists]
    strings = (_Strings(data, lengths.buffer_info()[0]) for data, lengths in zip(joined, sizes, strict=True))
    states = ctypes.create_string_buffer(max(count, 1))
    sums = (ctypes.c_uint64 * 9)()
    job = _Comparison(*strings, drive, floor, len(drive), count)
    if found.dt_match(ctypes.byref(job), states, sums):
        raise MemoryError
    total = [sums[at] | sums[at + 1] << 64 | sums[at + 2] << 128 for at in (0, 3, 6)]
    return Compared(states.raw[:count], *total)
