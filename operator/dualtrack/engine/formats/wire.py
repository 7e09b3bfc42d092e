"""The wire policy: the only module that imports msgpack.

Everything that a drive holds may be hostile or rotten, so whoever reads MessagePack here gets these promises:

* Strings are UTF-8 with `surrogateescape`: bytes that are not text survive a round trip. MinIO stores such
  values.
* Lengths and counts are believed only up to a cap, and never beyond the bytes that are there. The C decoder
  reserves an array's slots before it has seen its items; where the arrays that *could* be announced would
  reserve more than `_RESERVE_BUDGET`, an exact scan checks counts and nesting first. So does it for long
  items: an empty array is one byte there and sixty here, so their number is bounded, too.
* Every failure is a `CorruptError`. No other exception leaves this module, whatever the bytes are.

Writing needs no library: `packing.py`.
"""

from __future__ import annotations

import struct
from typing import NoReturn

import msgpack

from dualtrack.errors import CorruptError

MAX_ELEMENT = 16 * 1024 * 1024
"""The longest string or binary inside a body; RustFS has the same cap."""
MAX_ITEMS = 10_000
"""The longest array and map inside a body: S3 allows 10,000 parts."""
MAX_NESTING = 8
MAX_TOTAL = 500_000
"""The most items inside a body: ten fields of each of 10,000 parts are a fifth of that."""
_RESERVE_BUDGET = 16 * 1024 * 1024
_SLOT = 8  # bytes that a decoder reserves per announced array item

Decoded = object

_ERRORS = "surrogateescape"
_U16, _U32, _U64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")
_I8, _I16, _I32, _I64 = struct.Struct(">b"), struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_INTS = {
    0xCC: struct.Struct(">B"),
    0xCD: _U16,
    0xCE: _U32,
    0xCF: _U64,
    0xD0: _I8,
    0xD1: _I16,
    0xD2: _I32,
    0xD3: _I64,
}
_BIN8 = 0xC4
_BIN_LENGTHS = {_BIN8: struct.Struct(">B"), 0xC5: _U16, 0xC6: _U32}
_STR_LENGTHS = {0xD9: struct.Struct(">B"), 0xDA: _U16, 0xDB: _U32}
_ARRAY_LENGTHS = {0xDC: _U16, 0xDD: _U32}
_MAP_LENGTHS = {0xDE: _U16, 0xDF: _U32}
_EXT_LENGTHS = {0xC7: struct.Struct(">B"), 0xC8: _U16, 0xC9: _U32}
_FIXED_EXT = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_FLOATS = {0xCA: 4, 0xCB: 8}
# Go's time.Time: seconds since 1970 and nanoseconds. Its zero value is the first of January of the year 1.
_GO_TIME, _GO_ZERO = 5, -62_135_596_800
_TIME = struct.Struct(">qI")


def _corrupt(reason: str, message: str) -> NoReturn:
    raise CorruptError(reason, message)


def loads(data: bytes, reason: str) -> Decoded:
    """Decode the one item that `data` holds. `reason` is the class of the `CorruptError` where it is not
    one.
    """
    _guard_reservation(data, reason)
    limit = len(data)
    element, items = min(limit, MAX_ELEMENT), min(limit, MAX_ITEMS)
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            unicode_errors=_ERRORS,
            max_str_len=element,
            max_bin_len=element,
            max_array_len=items,
            max_map_len=items,
            max_ext_len=element,
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise CorruptError(reason, f"{reason}: not MessagePack as expected ({error})") from error


def _guard_reservation(data: bytes, reason: str) -> None:
    """Only `dc` and `dd` announce arrays longer than 15: their number bounds what can be reserved."""
    announced = data.count(b"\xdc") + data.count(b"\xdd")
    if len(data) > MAX_TOTAL or announced * min(len(data), MAX_ITEMS) * _SLOT > _RESERVE_BUDGET:
        skip(data, 0, reason)


def skip(data: bytes, position: int, reason: str, end: int | None = None) -> int:
    """The position after the item at `position`, with counts and nesting checked; nothing is built."""
    limit = len(data) if end is None else end
    pending = [1]
    total = 0
    while pending:
        if pending[-1] == 0:
            pending.pop()
            continue
        pending[-1] -= 1
        position, children = _step(data, position, limit, reason)
        if children:
            total += children
            if total > MAX_TOTAL:
                _corrupt(reason, f"{reason}: more than {MAX_TOTAL} items")
            if children > limit - position:
                _corrupt(
                    reason,
                    f"{reason}: {children} items are announced where {limit - position} bytes are left",
                )
            if len(pending) > MAX_NESTING:
                _corrupt(reason, f"{reason}: nested deeper than {MAX_NESTING}")
            pending.append(children)
    return position


def _step(data: bytes, position: int, limit: int, reason: str) -> tuple[int, int]:
    """Pass one tag and its payload; the second value counts the items that follow as its children."""
    if position >= limit:
        _corrupt(reason, f"{reason}: ends in the middle of an item")
    tag = data[position]
    position += 1
    size = children = 0
    if tag < 0x80 or tag >= 0xE0 or tag in (0xC0, 0xC2, 0xC3):
        return position, 0
    if tag < 0x90:
        return position, 2 * (tag & 0x0F)
    if tag < 0xA0:
        return position, tag & 0x0F
    if tag < 0xC0:
        size = tag & 0x1F
    elif tag in _INTS:
        size = _INTS[tag].size
    elif tag in _FLOATS or tag in _FIXED_EXT:
        size = _FLOATS.get(tag) or _FIXED_EXT[tag] + 1
    else:
        position, size, children = _long_form(data, position, limit, tag, reason)
    if position + size > limit:
        _corrupt(reason, f"{reason}: an item of {size} bytes runs past the end")
    return position + size, children


def _long_form(data: bytes, position: int, limit: int, tag: int, reason: str) -> tuple[int, int, int]:
    for table, is_container, width in (
        (_BIN_LENGTHS, False, 0),
        (_STR_LENGTHS, False, 0),
        (_EXT_LENGTHS, False, 1),
        (_ARRAY_LENGTHS, True, 1),
        (_MAP_LENGTHS, True, 2),
    ):
        if tag in table:
            position, count = _unpack(table[tag], data, position, limit, reason)
            return (position, 0, count * width) if is_container else (position, count + width, 0)
    _corrupt(reason, f"{reason}: byte 0x{tag:02x} begins no item")


def _unpack(form: struct.Struct, data: bytes, position: int, limit: int, reason: str) -> tuple[int, int]:
    after = position + form.size
    if after > limit:
        _corrupt(reason, f"{reason}: ends in the middle of a length")
    value: int = form.unpack_from(data, position)[0]
    return after, value


def read_int(data: bytes, position: int, reason: str) -> tuple[int, int]:
    """An integer in any encoding: (position after it, value)."""
    if position >= len(data):
        _corrupt(reason, f"{reason}: ends where a number is due")
    tag = data[position]
    if tag < 0x80:
        return position + 1, tag
    if tag >= 0xE0:
        return position + 1, tag - 0x100
    if tag not in _INTS:
        _corrupt(reason, f"{reason}: byte 0x{tag:02x} begins no number")
    return _unpack(_INTS[tag], data, position + 1, len(data), reason)


def read_bin(data: bytes, position: int, reason: str) -> tuple[int, bytes]:
    """A binary of at most what is there: (position after it, its bytes)."""
    if position >= len(data):
        _corrupt(reason, f"{reason}: ends where bytes are due")
    tag = data[position]
    if tag == _BIN8 and position + 1 < len(data):
        start, length = position + 2, data[position + 1]
    elif tag in _BIN_LENGTHS:
        start, length = _unpack(_BIN_LENGTHS[tag], data, position + 1, len(data), reason)
    else:
        _corrupt(reason, f"{reason}: byte 0x{tag:02x} begins no binary")
    if length > len(data) - start:
        _corrupt(reason, f"{reason}: {length} bytes are announced where {len(data) - start} are left")
    return start + length, data[start : start + length]


def read_str(data: bytes, position: int, reason: str) -> tuple[int, str]:
    """A string, undecodable bytes kept as surrogates: (position after it, text)."""
    if position >= len(data):
        _corrupt(reason, f"{reason}: ends where a string is due")
    tag = data[position]
    if 0xA0 <= tag < 0xC0:
        start, length = position + 1, tag & 0x1F
    elif tag in _STR_LENGTHS:
        start, length = _unpack(_STR_LENGTHS[tag], data, position + 1, len(data), reason)
    else:
        _corrupt(reason, f"{reason}: byte 0x{tag:02x} begins no string")
    if length > len(data) - start:
        _corrupt(reason, f"{reason}: {length} bytes are announced where {len(data) - start} are left")
    return start + length, data[start : start + length].decode("utf-8", _ERRORS)


def read_map_header(data: bytes, position: int, reason: str) -> tuple[int, int]:
    """(position of the first key, number of entries); the number is at most half of the bytes left."""
    if position >= len(data):
        _corrupt(reason, f"{reason}: ends where a map is due")
    tag = data[position]
    if 0x80 <= tag < 0x90:
        position, count = position + 1, tag & 0x0F
    elif tag in _MAP_LENGTHS:
        position, count = _unpack(_MAP_LENGTHS[tag], data, position + 1, len(data), reason)
    else:
        _corrupt(reason, f"{reason}: byte 0x{tag:02x} begins no map")
    if 2 * count > len(data) - position:
        _corrupt(
            reason, f"{reason}: {count} entries are announced where {len(data) - position} bytes are left"
        )
    return position, count


def read_array_header(data: bytes, position: int, reason: str) -> tuple[int, int]:
    """(position of the first item, number of items); the number is at most that of the bytes left."""
    if position >= len(data):
        _corrupt(reason, f"{reason}: ends where an array is due")
    tag = data[position]
    if 0x90 <= tag < 0xA0:
        position, count = position + 1, tag & 0x0F
    elif tag in _ARRAY_LENGTHS:
        position, count = _unpack(_ARRAY_LENGTHS[tag], data, position + 1, len(data), reason)
    else:
        _corrupt(reason, f"{reason}: byte 0x{tag:02x} begins no array")
    if count > len(data) - position:
        _corrupt(reason, f"{reason}: {count} items are announced where {len(data) - position} bytes are left")
    return position, count


def split_array(data: bytes, reason: str) -> list[bytes]:
    """An array with its items still encoded."""
    position, count = read_array_header(data, 0, reason)
    items: list[bytes] = []
    for _ in range(count):
        after = skip(data, position, reason)
        items.append(data[position:after])
        position = after
    if position != len(data):
        _corrupt(reason, f"{reason}: {len(data) - position} bytes follow the array")
    return items


def time_ns(value: Decoded, reason: str) -> int:
    """Nanoseconds since 1970 of a decoded time, Go's own or MessagePack's; 0 where there is none."""
    if value is None:
        return 0
    if isinstance(value, msgpack.Timestamp):
        return int(value.seconds) * 1_000_000_000 + int(value.nanoseconds)
    if not isinstance(value, msgpack.ExtType) or value.code != _GO_TIME or len(value.data) != _TIME.size:
        _corrupt(reason, f"{reason}: a time is {type(value).__name__}, no time")
    seconds, nanoseconds = _TIME.unpack(value.data)
    if nanoseconds >= 1_000_000_000:
        _corrupt(reason, f"{reason}: a time has {nanoseconds} nanoseconds in its last second")
    return 0 if seconds == _GO_ZERO else int(seconds) * 1_000_000_000 + int(nanoseconds)


def split_map(data: bytes, reason: str) -> dict[str, bytes]:
    """A map with its values still encoded, in order: for changing one and keeping every other byte."""
    position, count = read_map_header(data, 0, reason)
    values: dict[str, bytes] = {}
    for _ in range(count):
        position, key = read_str(data, position, reason)
        after = skip(data, position, reason)
        values[key] = data[position:after]
        position = after
    if position != len(data):
        _corrupt(reason, f"{reason}: {len(data) - position} bytes follow the map")
    return values
