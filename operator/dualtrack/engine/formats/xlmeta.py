"""`xl.meta` 1.3 both ways, and the changes that a server makes to one.

    "XL2 " | major u16 LE | minor u16 LE | bin32 metadata | uint32 xxh64(metadata) | inline section
    metadata = header_ver, meta_ver, count, then (bin header, bin body) per version, newest first

Source: MinIO's `xl-storage-format-v2.go` and RustFS's `crates/filemeta`. What is promised:

* `decode` checks the CRC always, and every length and count before it is believed.
* `encode(decode(data)) == data`, and a change rewrites only the versions that it names.
* All else is refused by name (`UnsupportedFormatError.reason`): `xlmeta-1.0` to `xlmeta-1.2`, `xl-json`,
  `rustfs-legacy-body`, `legacy-object`, `xlmeta-newer`, `header-version`, `meta-version`, `inline-version`.
  Damage is a `CorruptError`: `truncated`, `magic`, `wrapper`, `crc`, `metadata`, `header`, `body`, `inline`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import xxhash

from dualtrack.engine.formats import packing, wire
from dualtrack.engine.formats.inline import EMPTY, decode_inline, encode_inline
from dualtrack.engine.formats.versions import HEADER_VERSION, Version, decode_version
from dualtrack.errors import CorruptError, UnsupportedFormatError

META_VERSION = 3
MINOR = 3

_PREFIX = b"XL2 \x01\x00\x03\x00\xc6"
_VERSION_NUMBERS = struct.Struct("<HH")
_LENGTH = struct.Struct(">I")
_CRC = struct.Struct(">BI")
_CRC_TAG = 0xCE


@dataclass(frozen=True, slots=True)
class XlMeta:
    """One file. `inline` maps version keys to framed content; entries without a version may linger in it."""

    versions: tuple[Version, ...]
    inline: Mapping[str, bytes] = field(default_factory=lambda: EMPTY)
    minor: int = MINOR
    meta_ver: int = META_VERSION
    header_ver: int = HEADER_VERSION
    source: bytes | None = field(default=None, compare=False, repr=False)
    """The file as read; gone from whatever is derived from it, so that no change can be lost."""

    def find(self, version_id: bytes) -> Version | None:
        """The version with this id (16 bytes; zeros mean null)."""
        return next((version for version in self.versions if version.version_id == version_id), None)


def empty() -> XlMeta:
    """A file with no versions; servers read it as an object that is not there."""
    return XlMeta(())


def decode(data: bytes) -> XlMeta:
    """Decode one file, bodies lazily. Raises CorruptError or UnsupportedFormatError, each with a stable
    reason.
    """
    if data[:9] != _PREFIX:
        _refuse(data)
    if len(data) < 18:
        raise CorruptError("truncated", f"an xl.meta ends after {len(data)} bytes")
    end = 13 + _LENGTH.unpack_from(data, 9)[0]
    if end + 5 > len(data):
        raise CorruptError("truncated", f"an xl.meta announces metadata up to byte {end} and has {len(data)}")
    metadata = data[13:end]
    inline_at, crc = _read_crc(data, end)
    if crc != xxhash.xxh64_intdigest(metadata, 0) & 0xFFFFFFFF:
        raise CorruptError("crc", "the metadata of an xl.meta does not match its CRC")
    header_ver, meta_ver, versions = _decode_metadata(metadata)
    return XlMeta(versions, decode_inline(data[inline_at:]), MINOR, meta_ver, header_ver, data)


def _read_crc(data: bytes, position: int) -> tuple[int, int]:
    tag, crc = _CRC.unpack_from(data, position)
    if tag == _CRC_TAG:
        return position + 5, crc
    return wire.read_int(data, position, "wrapper")


def _decode_metadata(metadata: bytes) -> tuple[int, int, tuple[Version, ...]]:
    position, header_ver = wire.read_int(metadata, 0, "metadata")
    position, meta_ver = wire.read_int(metadata, position, "metadata")
    position, count = wire.read_int(metadata, position, "metadata")
    if not 1 <= header_ver <= HEADER_VERSION:
        raise UnsupportedFormatError("header-version", f"an xl.meta has headers of version {header_ver}")
    if not 1 <= meta_ver <= META_VERSION:
        raise UnsupportedFormatError("meta-version", f"an xl.meta has bodies of version {meta_ver}")
    if not 0 <= count <= len(metadata) - position:
        raise CorruptError("metadata", f"an xl.meta announces {count} versions in {len(metadata)} bytes")
    versions = []
    for _ in range(count):
        position, header = wire.read_bin(metadata, position, "metadata")
        position, body = wire.read_bin(metadata, position, "metadata")
        versions.append(decode_version(header, body, header_ver))
    if position != len(metadata):
        raise CorruptError("metadata", f"{len(metadata) - position} bytes follow the last version")
    return header_ver, meta_ver, tuple(versions)


def _refuse(data: bytes) -> NoReturn:
    """Say what a file is that does not begin as 1.3 does."""
    if data[:1].isspace() or data[:1] == b"{":
        raise UnsupportedFormatError("xl-json", "the file holds xl.json content, the form before xl.meta")
    if len(data) < 8:
        raise CorruptError("truncated", f"an xl.meta ends after {len(data)} bytes")
    if data[:4] != b"XL2 ":
        raise CorruptError("magic", f"an xl.meta begins with {data[:4]!r}, not with b'XL2 '")
    if data[4:8] == b"1   ":
        raise UnsupportedFormatError("xlmeta-1.0", "the file is an xl.meta 1.0")
    major, minor = _VERSION_NUMBERS.unpack_from(data, 4)
    if major == 1 and minor < MINOR:
        raise UnsupportedFormatError(f"xlmeta-1.{minor}", f"the file is an xl.meta 1.{minor}")
    if major == 1 and minor == MINOR:
        raise CorruptError("wrapper", "the metadata of an xl.meta has no 32-bit length")
    if major == 0:
        raise CorruptError("magic", f"an xl.meta has version 0.{minor}")
    raise UnsupportedFormatError("xlmeta-newer", f"the file is an xl.meta {major}.{minor}")


def encode(meta: XlMeta) -> bytes:
    """The file's bytes: those it was read from where nothing was changed."""
    if meta.source is not None:
        return meta.source
    items = [
        packing.pack_uint(meta.header_ver),
        packing.pack_uint(meta.meta_ver),
        packing.pack_uint(len(meta.versions)),
    ]
    for version in meta.versions:
        items += (packing.pack_bin(version.header), packing.pack_bin(version.raw_body))
    metadata = b"".join(items)
    crc = xxhash.xxh64_intdigest(metadata, 0) & 0xFFFFFFFF
    return b"".join(
        (_PREFIX, _LENGTH.pack(len(metadata)), metadata, packing.pack_uint32(crc), encode_inline(meta.inline))
    )
