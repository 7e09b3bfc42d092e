"""An object's metadata file: `xl.meta` 1.3 both ways, and all older forms read (`legacy/`).

    "XL2 " | major u16 LE | minor u16 LE | bin metadata | uint xxh64(metadata) | inline section
    metadata = header_ver, meta_ver, count, then (bin header, bin body) per version, newest first

Source: MinIO's `xl-storage-format-v2.go` and RustFS's `crates/filemeta`. What is promised:

* `decode` checks the CRC always, and every length and count before it is believed.
* `encode(decode(data)) == data`, and a change rewrites only the versions that it names.
* What a newer server wrote is refused by name (`UnsupportedFormatError.reason`): `xlmeta-newer`,
  `header-version`, `meta-version`, `inline-version`, `legacy-object`. Damage is a `CorruptError`:
  `truncated`, `magic`, `wrapper`, `crc`, `metadata`, `header`, `body`, `inline`, `xl-json`.

`docs/internals/xlmeta.md` lists the forms, who wrote them, and what a change makes of each.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import xxhash

from dualtrack.engine.formats import packing, wire
from dualtrack.engine.formats.bodies import NULL_ID, ObjectBody
from dualtrack.engine.formats.inline import EMPTY, decode_inline, encode_inline
from dualtrack.engine.formats.legacy import containers, xljson
from dualtrack.engine.formats.versions import HEADER_VERSION, Kind, Version, decode_version
from dualtrack.errors import CorruptError, UnsupportedFormatError

META_VERSION = 3
MINOR = 3

_PREFIX = b"XL2 \x01\x00\x03\x00\xc6"
_VERSION_NUMBERS = struct.Struct("<HH")
_LENGTH = struct.Struct(">I")
_CRC = struct.Struct(">BI")
_CRC_TAG = 0xCE
_NIL = str(uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class XlMeta:
    """One file. `inline` maps version keys to framed content; entries without a version may linger in it.

    `minor` is the file's version 1.x, or None of a JSON document, which cannot be changed.
    """

    versions: tuple[Version, ...]
    inline: Mapping[str, bytes] = field(default_factory=lambda: EMPTY)
    minor: int | None = MINOR
    meta_ver: int = META_VERSION
    header_ver: int = HEADER_VERSION
    source: bytes | None = field(default=None, compare=False, repr=False)
    """The file as read; gone from whatever is derived from it, so that no change can be lost."""

    @property
    def form(self) -> str:
        """The form's name: `1.0` to `1.3`, or `json`."""
        return "json" if self.minor is None else f"1.{self.minor}"

    def find(self, version_id: bytes) -> Version | None:
        """The version with this id (16 bytes; zeros mean null)."""
        return next((version for version in self.versions if version.version_id == version_id), None)

    def inline_entry(self, version: Version) -> bytes | None:
        """The version's framed content, if it lies in this file."""
        if not self.inline:
            return None
        found = self.inline.get(version.version_key)
        if found is not None:
            return found
        return next((self.inline[key] for key in inline_keys(version) if key in self.inline), None)


def inline_keys(version: Version) -> tuple[str, ...]:
    """The keys that a version's inline entry may have, in the order in which servers look for it."""
    keys = [version.version_key]
    if version.version_id == NULL_ID:
        keys.append(_NIL)  # RustFS's early releases
    body = version.body if version.kind is Kind.OBJECT else None
    if isinstance(body, ObjectBody) and body.data_dir != NULL_ID:
        keys.append(str(uuid.UUID(bytes=body.data_dir)))  # MinIO for a few weeks of 2021
    return tuple(keys)


def empty() -> XlMeta:
    """A file with no versions; servers read it as an object that is not there."""
    return XlMeta(())


def decode(data: bytes) -> XlMeta:
    """Decode one file, bodies of 1.3 lazily. Raises CorruptError or UnsupportedFormatError, each with a
    stable reason.
    """
    if data[:9] != _PREFIX:
        return _decode_other(data)
    if len(data) < 18:
        raise CorruptError("truncated", f"an xl.meta ends after {len(data)} bytes")
    end = 13 + _LENGTH.unpack_from(data, 9)[0]
    if end + 5 > len(data):
        raise CorruptError("truncated", f"an xl.meta announces metadata up to byte {end} and has {len(data)}")
    return _decode_indexed(data, data[13:end], end)


def _decode_indexed(data: bytes, metadata: bytes, end: int) -> XlMeta:
    inline_at, crc = _read_crc(data, end)
    if crc != xxhash.xxh64_intdigest(metadata, 0) & 0xFFFFFFFF:
        raise CorruptError("crc", "the metadata of an xl.meta does not match its CRC")
    header_ver, meta_ver, versions = _decode_metadata(metadata)
    return XlMeta(versions, decode_inline(data[inline_at:]), MINOR, meta_ver, header_ver, data)


def _read_crc(data: bytes, position: int) -> tuple[int, int]:
    if position + 5 <= len(data):
        tag, crc = _CRC.unpack_from(data, position)
        if tag == _CRC_TAG:
            return position + 5, crc
    return wire.read_int(data, position, "wrapper")


def _decode_metadata(metadata: bytes) -> tuple[int, int, tuple[Version, ...]]:
    if metadata[:3].isascii() and len(metadata) >= 3:  # three numbers of one byte each
        (header_ver, meta_ver, count), position = metadata[:3], 3
    else:
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


def _decode_other(data: bytes) -> XlMeta:
    """Any file that does not begin as today's writers begin one."""
    if xljson.is_json(data):
        return _decode_json(data)
    minor = _minor(data)
    if minor == MINOR:
        end, metadata = wire.read_bin(data, 8, "wrapper")
        return _decode_indexed(data, metadata, end)
    versions, inline = containers.decode(data, minor)
    return XlMeta(versions, inline, minor, containers.META_VERSION, source=data)


def _minor(data: bytes) -> int:
    if len(data) < 8:
        raise CorruptError("truncated", f"an xl.meta ends after {len(data)} bytes")
    if data[:4] != b"XL2 ":
        raise CorruptError("magic", f"an xl.meta begins with {data[:4]!r}, not with b'XL2 '")
    if data[4:8] == b"1   ":
        return 0
    major, minor = _VERSION_NUMBERS.unpack_from(data, 4)
    if major == 1 and minor <= MINOR:
        return int(minor)
    if major == 0:
        raise CorruptError("magic", f"an xl.meta has version 0.{minor}")
    raise UnsupportedFormatError("xlmeta-newer", f"the file is an xl.meta {major}.{minor}")


def _decode_json(data: bytes) -> XlMeta:
    body = xljson.decode_document(data)
    version = Version(b"", b"", body.version_id, body.mod_time_ns, bytes(4), Kind.LEGACY, 0, [body])
    return XlMeta((version,), minor=None, source=data)


def encode(meta: XlMeta) -> bytes:
    """The file's bytes: those it was read from where nothing was changed, else 1.3."""
    if meta.source is not None:
        return meta.source
    if meta.minor is None:
        raise UnsupportedFormatError(xljson.REASON, "an object whose metadata are JSON can only be read")
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
