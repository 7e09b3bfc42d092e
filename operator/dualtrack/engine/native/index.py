"""A page of the index, checked and unpacked: in C where the library is there (`index.c`), else in Python.

What is promised: the same values either way. Where C finds an entry that is not as it should be, Python goes
through the page and raises what there is to say.

A page comes as two lists, keys and values, as the store gives them, and is worked on as a whole: of each
entry nothing is made but what whoever asked will get.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import TypeVar

from dualtrack.engine import attributes
from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.native import library
from dualtrack.engine.stores import envelope
from dualtrack.engine.summary import Summary

_KINDS = (None, *(Kind(number) for number in range(1, 5)))
_SWITCH = (False, True)
_FEW = 8
"""Up to which Python is done before a call into the library is prepared."""
_KEY, _VALUE = itemgetter(0), itemgetter(1)
_SUMMARY = itemgetter(slice(envelope.INDEX_CHECK, None))
_Value = TypeVar("_Value")


class _Columns(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_void_p)
            for name in ("times", "sizes", "versions", "kinds", "sealed", "inline", "classed", "texts")
        ),
        ("room", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
    )


def checked(drive: bytes, fulls: Sequence[bytes], values: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """(key, summary) of entries of one bucket: full keys, and checks with summaries. StoreCorruptError naming
    the object where one does not match its check.
    """
    joined = b"\0".join(fulls)
    if _sound(drive, joined, b"".join(values), _lengths(values)):
        return list(zip(_names(joined), map(_SUMMARY, values), strict=True))
    summaries = envelope.index_summaries(drive, list(zip(fulls, values, strict=True)))
    return list(zip(_names(joined), summaries, strict=True))


def sound(drive: bytes, fulls: Sequence[bytes], values: Sequence[bytes]) -> bool:
    """Whether C found that each entry matches its check, of whatever buckets they are. False says nothing."""
    return _sound(drive, b"\0".join(fulls), b"".join(values), _lengths(values))


def listed(drive: bytes, fulls: Sequence[bytes], values: Sequence[bytes]) -> list[tuple[str, Summary]]:
    """The same with the summaries unpacked, without making their bytes first."""
    joined, data, lengths = b"\0".join(fulls), b"".join(values), _lengths(values)
    found = library.library()
    if found is None or not _sound(drive, joined, data, lengths):
        return summarised(checked(drive, fulls, values))
    summaries = _columns(found, data, lengths, envelope.INDEX_CHECK)
    if summaries is None:
        return summarised(checked(drive, fulls, values))
    return list(zip(_names(joined), summaries, strict=True))


def _lengths(values: Sequence[bytes]) -> array[int]:
    return array("I", list(map(len, values)))


def _names(joined: bytes) -> list[str]:
    """The keys in full keys of one bucket with a NUL between them: one decoding gives all."""
    bucket, _, keys = joined.decode("utf-8", "surrogateescape").partition("\0")
    # Neither part of a full key holds a NUL, so one ends a key, and the bucket's name comes with it.
    return keys.split(f"\0{bucket}\0") if joined else []


def _sound(drive: bytes, fulls: bytes, data: bytes, lengths: array[int]) -> bool:
    """Whether C found every entry sound; False also where there is no C, or so few that Python is faster."""
    found = library.library() if len(lengths) > _FEW else None
    if found is None:
        return False
    address, count = lengths.buffer_info()
    return bool(found.dt_check_index(drive, len(drive), fulls, len(fulls), data, len(data), address, count))


def summarised(page: Sequence[tuple[str, bytes]]) -> list[tuple[str, Summary]]:
    """A page as `scan_index` gives it, its summaries unpacked."""
    return list(zip(map(_KEY, page), unpacked(list(map(_VALUE, page))), strict=True))


def unpacked(packed: Sequence[bytes]) -> list[Summary]:
    """`Summary.unpack` of each."""
    found = library.library() if len(packed) > _FEW else None
    columns = None if found is None else _columns(found, b"".join(packed), _lengths(packed), 0)
    return [Summary.unpack(each) for each in packed] if columns is None else columns


def _columns(found: ctypes.CDLL, data: bytes, lengths: array[int], before: int) -> list[Summary] | None:
    """What the summaries say, each behind `before` bytes of something else; None where Python has to look."""
    address, count = lengths.buffer_info()
    times, sizes, versions = (
        array(code, bytes(width * count)) for code, width in (("q", 8), ("q", 8), ("I", 4))
    )
    kinds, sealed, inline, classed = (ctypes.create_string_buffer(max(count, 1)) for _ in range(4))
    # An ETag's digest becomes twice as many digits; every other text is shorter than the entry that holds it.
    room = 2 * len(data)
    texts = ctypes.create_string_buffer(max(room, 1))
    columns = _Columns(
        *(column.buffer_info()[0] for column in (times, sizes, versions)),
        *(ctypes.addressof(column) for column in (kinds, sealed, inline, classed, texts)),
        room,
        0,
    )
    if not found.dt_unpack_index(data, len(data), address, count, before, ctypes.byref(columns)):
        return None
    words = ctypes.string_at(texts, columns.used).decode("utf-8", "surrogateescape").split("\0")[:-1]
    etags, classes = _texts(words, sealed.raw[:count], classed.raw[:count])
    return list(
        map(
            tuple.__new__,  # what `Summary` does, without a call of Python's for each
            repeat(Summary),
            zip(
                _meant(_KINDS, kinds.raw[:count]),
                versions.tolist(),
                times.tolist(),
                sizes.tolist(),
                etags,
                classes,
                _meant(_SWITCH, inline.raw[:count]),
                strict=True,
            ),
        )
    )


def _meant(values: Sequence[_Value], codes: bytes) -> Iterable[_Value]:
    """The value of each code; where all are alike, as in most buckets, none is looked up."""
    if codes and codes == codes[:1] * len(codes):
        return repeat(values[codes[0]], len(codes))
    return map(values.__getitem__, codes)


def _texts(words: list[str], sealed: bytes, classed: bytes) -> tuple[Iterable[str | None], Iterable[str]]:
    """ETags and storage classes. `words` are the ETag of each, and behind it the class where it has one of
    its own; a sealed ETag is None.
    """
    etags: list[str | None] = []
    classes: Iterable[str] = repeat(attributes.DEFAULT_STORAGE_CLASS, len(classed))
    if 1 not in classed:
        etags += words
    else:
        waiting = iter(words)
        pairs = [
            (next(waiting), next(waiting) if own else attributes.DEFAULT_STORAGE_CLASS) for own in classed
        ]
        etags += map(_KEY, pairs)
        classes = map(_VALUE, pairs)
    at = sealed.find(1)
    while at >= 0:
        etags[at] = None
        at = sealed.find(1, at + 1)
    return etags, classes
