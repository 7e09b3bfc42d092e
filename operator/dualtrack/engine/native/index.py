"""A page of the index, checked and unpacked: in C where the library is there (`index.c`), else in Python.

What is promised: the same values either way. Where C finds an entry that is not as it should be, Python goes
through the page and raises what there is to say.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from functools import partial
from operator import itemgetter

from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.native import library
from dualtrack.engine.stores import envelope
from dualtrack.engine.summary import Summary

IndexEntry = tuple[bytes, bytes]
"""Full key, and the check with the summary."""

_KINDS = (None, *(Kind(number) for number in range(1, 5)))
_TEXT_ROOM = 2 * 256
"""Of ETag and storage class, each with its NUL."""
_FEW = 8
"""Up to which Python is done before a call into the library is prepared."""
_KEY, _VALUE = itemgetter(0), itemgetter(1)
_SUMMARY = partial(tuple.__new__, Summary)


class _Columns(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_void_p)
            for name in ("times", "sizes", "versions", "kinds", "sealed", "inline", "texts")
        ),
        ("room", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
    )


def checked(drive: bytes, entries: Sequence[IndexEntry]) -> list[tuple[str, bytes]]:
    """(key, summary) of entries of one bucket. StoreCorruptError naming the object where one does not match
    its check.
    """
    fulls, values = list(map(_KEY, entries)), list(map(_VALUE, entries))
    joined = b"\0".join(fulls)
    if _sound(drive, joined, values):
        summaries = [value[envelope.INDEX_CHECK :] for value in values]
    else:
        summaries = envelope.index_summaries(drive, entries)
    # Neither part of a full key holds a NUL: one decoding gives all names.
    names = joined.decode("utf-8", "surrogateescape").split("\0")
    return list(zip(names[1::2], summaries, strict=True))


def _sound(drive: bytes, fulls: bytes, values: Sequence[bytes]) -> bool:
    """Whether C found every entry sound; False also where there is no C."""
    found = library.library() if len(values) > _FEW else None
    if found is None:
        return False
    data, lengths = b"".join(values), array("I", list(map(len, values)))
    address, _ = lengths.buffer_info()
    return bool(
        found.dt_check_index(drive, len(drive), fulls, len(fulls), data, len(data), address, len(values))
    )


def summarised(page: Sequence[tuple[str, bytes]]) -> list[tuple[str, Summary]]:
    """A page as `scan_index` gives it, its summaries unpacked."""
    return list(zip(map(_KEY, page), unpacked(list(map(_VALUE, page))), strict=True))


def unpacked(packed: Sequence[bytes]) -> list[Summary]:
    """`Summary.unpack` of each."""
    found = library.library() if len(packed) > _FEW else None
    columns = None if found is None else _columns(found, packed)
    return [Summary.unpack(each) for each in packed] if columns is None else columns


def _columns(found: ctypes.CDLL, packed: Sequence[bytes]) -> list[Summary] | None:
    count, data = len(packed), b"".join(packed)
    lengths = array("I", list(map(len, packed)))
    times, sizes, versions = (
        array(code, bytes(width * count)) for code, width in (("q", 8), ("q", 8), ("I", 4))
    )
    kinds, sealed, inline = (array("B", bytes(count)) for _ in range(3))
    room = min(_TEXT_ROOM * count, 2 * len(data) + 32 * count)
    texts = ctypes.create_string_buffer(room)
    columns = _Columns(
        *(column.buffer_info()[0] for column in (times, sizes, versions, kinds, sealed, inline)),
        ctypes.addressof(texts),
        room,
        0,
    )
    address, _ = lengths.buffer_info()
    if not found.dt_unpack_index(data, len(data), address, count, ctypes.byref(columns)):
        return None
    words = ctypes.string_at(texts, columns.used).decode("utf-8", "surrogateescape").split("\0")
    etags: list[str | None] = [*words[0:-1:2]]
    for number in (number for number, hidden in enumerate(sealed) if hidden) if any(sealed) else ():
        etags[number] = None
    return list(
        map(
            _SUMMARY,
            zip(
                map(_KINDS.__getitem__, kinds),
                versions.tolist(),
                times.tolist(),
                sizes.tolist(),
                etags,
                words[1::2],
                map(bool, inline),
                strict=True,
            ),
        )
    )
