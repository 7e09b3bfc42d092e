"""Rows as lines of JSON, written by the C library: `export.c` as Python sees it.

What is promised: the lines are to the byte those of `jsonlines.py`, of rows whose seals were checked. A row
that C is not sure of comes back as it is, and Python reads it.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain

from dualtrack.engine.stores.protocol import PackedRow

_HASHING_ROOM = 1024 * 1024
_LINES_ROOM = 4 * 1024 * 1024


class LineWriter:
    """Memory for calls into the library; not for several threads at once."""

    def __init__(self, library: ctypes.CDLL, drive_id: str) -> None:
        size, number, pointer = ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p
        self._export = library.dt_export
        self._export.restype = number
        self._export.argtypes = (
            ctypes.c_char_p, number, ctypes.c_char_p, size, pointer, number, number, pointer,
            pointer, size, pointer, size, pointer,
        )  # fmt: skip
        self._drive = drive_id.encode()
        self._hashing = ctypes.create_string_buffer(_HASHING_ROOM)
        self._out = ctypes.create_string_buffer(_LINES_ROOM)

    def lines(self, rows: Sequence[PackedRow]) -> Iterator[bytes | PackedRow]:
        """Lines of many rows at a time, and, where they belong, the rows that Python has to read."""
        data = b"".join(chain.from_iterable(rows))
        sizes = array("I", map(len, chain.from_iterable(rows)))
        address, _ = sizes.buffer_info()
        at, used = ctypes.c_uint64(), ctypes.c_uint64()
        done = 0
        while done < len(rows):
            after = self._export(
                self._drive,
                len(self._drive),
                data,
                len(data),
                address,
                len(rows),
                done,
                ctypes.byref(at),
                self._hashing,
                _HASHING_ROOM,
                self._out,
                _LINES_ROOM,
                ctypes.byref(used),
            )
            if used.value:
                yield ctypes.string_at(self._out, used.value)
            if after == done:  # this one is not C's
                yield rows[done]
                at.value += sizes[2 * done] + sizes[2 * done + 1]
                after += 1
            done = after
