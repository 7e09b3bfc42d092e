"""What an index keeps of an object: enough to list it (ListObjectsV2) without reading its row.

Packed, it is some 40 bytes:

    u8 schema | u8 flags | u8 kind of the latest version | i64 its time (ns) | i64 size | u32 version count
    | u8 length + ETag | u8 length + storage class (left out where it is the default)

An ETag in its usual form, 32 hex digits with or without `-parts`, is packed as 16 bytes and a u32.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from dualtrack.engine import attributes
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.errors import StoreCorruptError, StoreVersionError

SCHEMA = 1

_HEAD = struct.Struct(">BBBqqI")
_MD5, _PARTS, _SEALED, _INLINE, _TEXT_ETAG, _CLASS = 1, 2, 4, 8, 16, 32
_COUNT = struct.Struct(">I")
_MD5_FORM = re.compile(r"([0-9a-f]{32})(?:-([1-9][0-9]{0,8}))?")


class Summary(NamedTuple):
    """Of the latest version, but for the count. `kind` is None where the file has no version at all; `etag`
    is None where encryption hides it. Only an object shows in a plain listing.

    A tuple, because a listing makes one for each key: a frozen dataclass takes ten times as long.
    """

    kind: Kind | None
    version_count: int
    mod_time_ns: int
    size: int
    etag: str | None
    storage_class: str
    inline: bool

    @property
    def listed(self) -> bool:
        """Whether a plain listing (not of versions) shows the object."""
        return self.kind is not None and self.kind.is_object

    def pack(self) -> bytes:
        flags, tail = _pack_etag(self.etag)
        if self.inline:
            flags |= _INLINE
        if self.storage_class != attributes.DEFAULT_STORAGE_CLASS:
            flags |= _CLASS
            tail += _pack_text(self.storage_class)
        kind = 0 if self.kind is None else int(self.kind)
        return _HEAD.pack(SCHEMA, flags, kind, self.mod_time_ns, self.size, self.version_count) + tail

    @classmethod
    def unpack(cls, data: bytes) -> Summary:
        """The inverse of `pack`. StoreVersionError for another schema, StoreCorruptError for damage."""
        if not data or data[0] != SCHEMA:
            raise StoreVersionError(f"an index entry has schema {data[:1].hex() or 'none'}, not {SCHEMA:02x}")
        try:
            _, flags, kind, mod_time_ns, size, count = _HEAD.unpack_from(data)
            etag, position = _unpack_etag(data, flags)
            storage_class = attributes.DEFAULT_STORAGE_CLASS
            if flags & _CLASS:
                storage_class, position = _unpack_text(data, position)
            if position != len(data):
                raise StoreCorruptError(f"an index entry has {len(data)} bytes where {position} belong")
            return cls(
                Kind(kind) if kind else None,
                count,
                mod_time_ns,
                size,
                etag,
                storage_class,
                bool(flags & _INLINE),
            )
        except (struct.error, IndexError, ValueError) as error:
            raise StoreCorruptError(f"an index entry cannot be read: {error}") from error


def summary(meta: XlMeta) -> Summary:
    """Summarise a file, decoding the latest body only. Raises CorruptError where that body is damaged."""
    if not meta.versions:
        return Summary(None, 0, 0, 0, "", attributes.DEFAULT_STORAGE_CLASS, False)
    latest = meta.versions[0]
    body = latest.body
    count, time = len(meta.versions), latest.mod_time_ns
    if not isinstance(body, ObjectBody):
        return Summary(latest.kind, count, time, 0, "", attributes.DEFAULT_STORAGE_CLASS, False)
    if attributes.is_purging(body):
        return Summary(Kind.DELETE_MARKER, count, time, 0, "", attributes.DEFAULT_STORAGE_CLASS, False)
    named = attributes.Named(body)
    return Summary(
        latest.kind,
        count,
        time,
        named.size(),
        named.etag(),
        named.storage_class(),
        named.is_inline(meta.inline_entry(latest) is not None),
    )


def _pack_etag(etag: str | None) -> tuple[int, bytes]:
    if etag is None:
        return _SEALED, b""
    if not etag:
        return 0, b""
    usual = _MD5_FORM.fullmatch(etag)
    if usual is None:
        return _TEXT_ETAG, _pack_text(etag)
    digest = bytes.fromhex(usual[1])
    return (_MD5, digest) if usual[2] is None else (_MD5 | _PARTS, digest + _COUNT.pack(int(usual[2])))


def _unpack_etag(data: bytes, flags: int) -> tuple[str | None, int]:
    position = _HEAD.size
    if flags & _SEALED:
        return None, position
    if flags & _TEXT_ETAG:
        return _unpack_text(data, position)
    if not flags & _MD5:
        return "", position
    digest = data[position : position + 16].hex()
    position += 16
    if not flags & _PARTS:
        return digest, position
    return f"{digest}-{_COUNT.unpack_from(data, position)[0]}", position + _COUNT.size


def _pack_text(text: str) -> bytes:
    # S3 bounds both well below this; a longer one is cut rather than refused, since the row has it whole.
    raw = text.encode("utf-8", "surrogateescape")[:255]
    return bytes((len(raw),)) + raw


def _unpack_text(data: bytes, position: int) -> tuple[str, int]:
    end = position + 1 + data[position]
    return data[position + 1 : end].decode("utf-8", "surrogateescape"), end
