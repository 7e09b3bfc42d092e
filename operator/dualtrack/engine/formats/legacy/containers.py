"""`xl.meta` 1.0 to 1.2: all versions in one map, in no order that could be relied on, without headers.

    1.0   the map, to the end of the file
    1.1   the map in a binary, then the inline section
    1.2   the map in a binary, its CRC, then the inline section

The map is `{"Versions": [body, …]}`; other keys are passed over, as MinIO does. A body keeps its bytes; its
version gets the header that MinIO gives it on loading, and all are sorted.
"""

from __future__ import annotations

from collections.abc import Mapping

import xxhash

from dualtrack.engine.formats import wire
from dualtrack.engine.formats.bodies import Body, ObjectBody
from dualtrack.engine.formats.forms import decode_body
from dualtrack.engine.formats.inline import EMPTY, decode_inline
from dualtrack.engine.formats.versions import (
    FLAG_FREE_VERSION,
    FLAG_INLINE_DATA,
    FLAG_USES_DATA_DIR,
    Kind,
    Version,
    build_version,
    kind_of,
)
from dualtrack.errors import CorruptError

META_VERSION = 1
"""What MinIO takes the bodies of such a file for."""

_BAD = "metadata"
_PREFIXES = ("x-minio-internal-", "x-rustfs-internal-")


def decode(data: bytes, minor: int) -> tuple[tuple[Version, ...], Mapping[str, bytes]]:
    """The versions, newest first, and the inline entries of a file that begins with the eight bytes of its
    version.
    """
    metadata, inline = _split(data, minor)
    versions = [_version(raw) for raw in _bodies(metadata)]
    versions.sort(key=lambda version: version.sort_key, reverse=True)
    return tuple(versions), inline


def _split(data: bytes, minor: int) -> tuple[bytes, Mapping[str, bytes]]:
    if minor == 0:
        return data[8:], EMPTY
    position, metadata = wire.read_bin(data, 8, "wrapper")
    if minor == 2:
        position, crc = wire.read_int(data, position, "wrapper")
        if crc != xxhash.xxh64_intdigest(metadata, 0) & 0xFFFFFFFF:
            raise CorruptError("crc", "the metadata of an xl.meta does not match its CRC")
    return metadata, decode_inline(data[position:])


def _bodies(metadata: bytes) -> list[bytes]:
    bodies: list[bytes] = []
    position, entries = wire.read_map_header(metadata, 0, _BAD)
    for _ in range(entries):
        position, key = wire.read_str(metadata, position, _BAD)
        if key != "Versions":
            position = wire.skip(metadata, position, _BAD)
            continue
        position, count = wire.read_array_header(metadata, position, _BAD)
        for _ in range(count):
            after = wire.skip(metadata, position, _BAD)
            bodies.append(metadata[position:after])
            position = after
    if position != len(metadata):
        raise CorruptError(_BAD, f"{len(metadata) - position} bytes follow the versions")
    return bodies


def _version(raw: bytes) -> Version:
    body = decode_body(raw)
    flags = _flags(body)
    return build_version(body, kind_of(body, flags), flags, raw)


def _flags(body: Body) -> int:
    if not isinstance(body, ObjectBody):
        return FLAG_FREE_VERSION if _internal(body.meta_sys, "free-version") is not None else 0
    if kind_of(body, 0) is Kind.LEGACY:
        return 0
    inline = FLAG_INLINE_DATA if _internal(body.meta_sys, "inline-data") is not None else 0
    tiered = _internal(body.meta_sys, "transition-status") == b"complete"
    return inline if tiered else inline | FLAG_USES_DATA_DIR


def _internal(meta_sys: Mapping[str, bytes], name: str) -> bytes | None:
    wanted = {prefix + name for prefix in _PREFIXES}
    return next((value for key, value in meta_sys.items() if key.lower() in wanted), None)
