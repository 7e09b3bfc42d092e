"""One version of an object: its header, decoded, and its body, decoded only when somebody asks.

Both keep the bytes they came with, so that a version that nobody changed is written back bit for bit. Listing
and the index need headers and the latest body only; decoding lazily is what makes a sweep cheap.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, field, replace
from enum import IntEnum

from dualtrack.engine.formats import packing, wire
from dualtrack.engine.formats.bodies import (
    DELETE_TYPE,
    LEGACY_TYPE,
    MAX_INT,
    NULL_ID,
    OBJECT_TYPE,
    Body,
    Form,
    ObjectBody,
    encode_body,
)
from dualtrack.engine.formats.forms import decode_body, refuse_unknown
from dualtrack.engine.formats.signature import signature
from dualtrack.errors import CorruptError

HEADER_VERSION = 3

FLAG_FREE_VERSION, FLAG_USES_DATA_DIR, FLAG_INLINE_DATA = 1, 2, 4

_BAD = "header"
_V3 = struct.Struct(">B2s16sBq2s4sBBBB")
_V3_TAGS = (0x97, b"\xc4\x10", 0xD3, b"\xc4\x04")


class Kind(IntEnum):
    """What a version is. The values are the header's `type`; a free version is a deletion with a flag."""

    OBJECT = OBJECT_TYPE
    DELETE_MARKER = DELETE_TYPE
    #: An object, too; its body is of the form before versions.
    LEGACY = LEGACY_TYPE
    FREE_VERSION = 4

    @property
    def is_object(self) -> bool:
        """Whether it has content, as opposed to a deletion."""
        return self in _OBJECTS


_OBJECTS = frozenset({Kind.OBJECT, Kind.LEGACY})


@dataclass(frozen=True, slots=True)
class Version:
    """`header` and `raw_body` are the bytes in the file; the fields between them are the header, decoded."""

    header: bytes
    raw_body: bytes
    version_id: bytes
    mod_time_ns: int
    signature: bytes
    kind: Kind
    flags: int
    _body: list[Body] = field(default_factory=list, compare=False, repr=False)

    @property
    def version_key(self) -> str:
        """`null`, or the version's UUID in lower case: what S3 shows and what names an inline entry."""
        return "null" if self.version_id == NULL_ID else str(uuid.UUID(bytes=self.version_id))

    @property
    def body(self) -> Body:
        """The decoded body. Raises CorruptError where it is not what the header says."""
        if not self._body:
            body = decode_body(self.raw_body)
            if kind_of(body, self.flags) is not self.kind:
                raise CorruptError(
                    "body", f"the header of version {self.version_key} names another kind than its body"
                )
            self._body.append(body)
        return self._body[0]

    @property
    def sort_key(self) -> tuple[int, int, bytes, bytes, int]:
        """Versions stand in descending order of this: newest first, ties as MinIO breaks them."""
        return (self.mod_time_ns, -self.file_type, self.signature, self.version_id, self.flags)

    @property
    def file_type(self) -> int:
        """The header's `type`."""
        return DELETE_TYPE if self.kind is Kind.FREE_VERSION else self.kind


def decode_version(header: bytes, raw_body: bytes, header_ver: int) -> Version:
    """Decode a header (versions 1 to 3) and look at the body's first byte; both are refused by name."""
    if header_ver == HEADER_VERSION and len(header) == _V3.size:
        a, b, version_id, c, mod_time_ns, d, sig, file_type, flags, ec_n, ec_m = _V3.unpack(header)
        if (a, b, c, d) == _V3_TAGS and (file_type | flags | ec_n | ec_m) < 0x80:
            kind = _kind(file_type, flags)
            refuse_unknown(raw_body)
            return Version(header, raw_body, version_id, mod_time_ns, sig, kind, flags)
    return _decode_any(header, raw_body, header_ver)


def _decode_any(header: bytes, raw_body: bytes, header_ver: int) -> Version:
    match (header_ver, wire.loads(header, _BAD)):
        case (1, [bytes(version_id), int(mod_time_ns), int(file_type), int(flags)]):
            sig = bytes(4)
        case (2, [bytes(version_id), int(mod_time_ns), bytes(sig), int(file_type), int(flags)]):
            pass
        case (3, [bytes(version_id), int(mod_time_ns), bytes(sig), int(file_type), int(flags), int(), int()]):
            pass
        case _:
            raise CorruptError(_BAD, f"a version's header has not the form of header version {header_ver}")
    if len(version_id) != 16 or len(sig) != 4 or not 0 <= flags <= 0xFF or abs(mod_time_ns) > MAX_INT:
        raise CorruptError(_BAD, "a version's header has an id, a signature or flags of the wrong size")
    kind = _kind(file_type, flags)
    refuse_unknown(raw_body)
    return Version(header, raw_body, version_id, mod_time_ns, sig, kind, flags)


def _kind(file_type: int, flags: int) -> Kind:
    if file_type == OBJECT_TYPE:
        return Kind.OBJECT
    if file_type == DELETE_TYPE:
        return Kind.FREE_VERSION if flags & FLAG_FREE_VERSION else Kind.DELETE_MARKER
    if file_type == LEGACY_TYPE:
        return Kind.LEGACY
    raise CorruptError(_BAD, f"a version's header has type {file_type}")


def kind_of(body: Body, flags: int) -> Kind:
    """What a version with this body is."""
    if isinstance(body, ObjectBody):
        return Kind.LEGACY if body.form is Form.V1 else Kind.OBJECT
    return Kind.FREE_VERSION if flags & FLAG_FREE_VERSION else Kind.DELETE_MARKER


def build_version(body: Body, kind: Kind, flags: int, raw_body: bytes | None = None) -> Version:
    """A version around a body, with a header of version 3 and MinIO's signature.

    `raw_body` is given where the body was spliced; else it is encoded here.
    """
    raw = encode_body(body) if raw_body is None else raw_body
    draft = Version(b"", raw, body.version_id, body.mod_time_ns, signature(body), kind, flags, [body])
    return replace(draft, header=encode_header(draft))


def encode_header(version: Version) -> bytes:
    """A header of version 3. Shard counts stand in it for objects of today's kind; others have zeros."""
    body = version.body if version.kind is Kind.OBJECT else None
    ec_n, ec_m = (body.ec_n, body.ec_m) if isinstance(body, ObjectBody) else (0, 0)
    # The time has its widest form at any value: servers read headers by position.
    return b"".join(
        (
            packing.array_header(7),
            packing.pack_bin(version.version_id),
            b"\xd3" + version.mod_time_ns.to_bytes(8, "big", signed=True),
            packing.pack_bin(version.signature),
            packing.pack_uint(version.file_type),
            packing.pack_uint(version.flags),
            packing.pack_uint(ec_n),
            packing.pack_uint(ec_m),
        )
    )
