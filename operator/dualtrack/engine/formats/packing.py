"""MessagePack as Go's `msgp` writes it, byte for byte.

MinIO's signatures are taken over these bytes, so the form is part of the format: `pack_int` uses the signed
tags (`d1`, `d2`, `d3`), `pack_uint` the unsigned ones, every length its shortest form. Strings carry bytes
that are not UTF-8 as surrogates, as `wire.py` reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

_U16, _U32, _U64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")
_I8, _I16, _I32, _I64 = struct.Struct(">b"), struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")

NIL = b"\xc0"


def pack_int(value: int) -> bytes:
    """A signed integer: the fixed form or the shortest signed tag."""
    if -32 <= value <= 127:
        return _I8.pack(value)
    if -0x80 <= value < 0:
        return b"\xd0" + _I8.pack(value)
    if -0x8000 <= value <= 0x7FFF:
        return b"\xd1" + _I16.pack(value)
    if -0x80000000 <= value <= 0x7FFFFFFF:
        return b"\xd2" + _I32.pack(value)
    return b"\xd3" + _I64.pack(value)


def pack_uint(value: int) -> bytes:
    """An unsigned integer: the fixed form or the shortest unsigned tag."""
    if value <= 0x7F:
        return bytes((value,))
    if value <= 0xFF:
        return bytes((0xCC, value))
    if value <= 0xFFFF:
        return b"\xcd" + _U16.pack(value)
    if value <= 0xFFFFFFFF:
        return b"\xce" + _U32.pack(value)
    return b"\xcf" + _U64.pack(value)


def pack_bool(value: bool) -> bytes:
    return b"\xc3" if value else b"\xc2"


def pack_bin(value: bytes) -> bytes:
    size = len(value)
    if size <= 0xFF:
        return bytes((0xC4, size)) + value
    return (b"\xc5" + _U16.pack(size) if size <= 0xFFFF else b"\xc6" + _U32.pack(size)) + value


def pack_bin32(value: bytes) -> bytes:
    """A binary with the long length at any size, as both servers wrap the metadata of an `xl.meta`."""
    return b"\xc6" + _U32.pack(len(value)) + value


def pack_uint32(value: int) -> bytes:
    """A number with the four-byte tag at any size, as both servers write the CRC of an `xl.meta`."""
    return b"\xce" + _U32.pack(value)


def pack_str(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogateescape")
    size = len(raw)
    if size <= 31:
        return bytes((0xA0 | size,)) + raw
    if size <= 0xFF:
        return bytes((0xD9, size)) + raw
    return (b"\xda" + _U16.pack(size) if size <= 0xFFFF else b"\xdb" + _U32.pack(size)) + raw


def array_header(count: int) -> bytes:
    if count <= 15:
        return bytes((0x90 | count,))
    return b"\xdc" + _U16.pack(count) if count <= 0xFFFF else b"\xdd" + _U32.pack(count)


def map_header(count: int) -> bytes:
    if count <= 15:
        return bytes((0x80 | count,))
    return b"\xde" + _U16.pack(count) if count <= 0xFFFF else b"\xdf" + _U32.pack(count)


def pack_array(items: Iterable[bytes]) -> bytes:
    """An array of items that are encoded already."""
    encoded = list(items)
    return array_header(len(encoded)) + b"".join(encoded)


def pack_time(seconds: int, nanoseconds: int) -> bytes:
    """Go's `time.Time` as msgp writes it: extension 5, seconds and nanoseconds."""
    return b"\xc7\x0c\x05" + _I64.pack(seconds) + _U32.pack(nanoseconds)


def join_map(values: Mapping[str, bytes]) -> bytes:
    """The inverse of `wire.split_map`."""
    out = [map_header(len(values))]
    for key, value in values.items():
        out += (pack_str(key), value)
    return b"".join(out)
