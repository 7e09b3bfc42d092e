"""A bucket's own metadata: policy, versioning, lock and the rest, which both servers keep as an object.

It lies at `<system volume>/buckets/<bucket>/.metadata.bin/xl.meta`, inline. Its content is `01 00 01 00`
and a map. Only what DualTrack needs is decoded; every other field keeps its bytes when one is changed, so
that a server's later fields survive. RustFS writes more fields than MinIO and reads MinIO's.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from dualtrack.engine.formats import packing, wire
from dualtrack.engine.formats.bitrot import frame, unframe
from dualtrack.engine.formats.bodies import NULL_ID, ObjectBody
from dualtrack.engine.formats.changes import BLOCK_SIZE, Part, add_version, new_object_version
from dualtrack.engine.formats.xlmeta import XlMeta, empty
from dualtrack.errors import CorruptError, UnsupportedFormatError

_BAD = "bucket-metadata"
_MAGIC = b"\x01\x00\x01\x00"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_STATUS = re.compile(rb"<Status>\s*(\w+)\s*</Status>")
_GO_TIME = struct.Struct(">qI")
_CONFIGS = (
    "PolicyConfigJSON",
    "NotificationConfigXML",
    "LifecycleConfigXML",
    "ObjectLockConfigXML",
    "VersioningConfigXML",
    "EncryptionConfigXML",
    "TaggingConfigXML",
    "QuotaConfigJSON",
    "ReplicationConfigXML",
    "BucketTargetsConfigJSON",
    "BucketTargetsConfigMetaJSON",
)
_TIMES = (
    "PolicyConfigUpdatedAt",
    "ObjectLockConfigUpdatedAt",
    "EncryptionConfigUpdatedAt",
    "TaggingConfigUpdatedAt",
    "QuotaConfigUpdatedAt",
    "ReplicationConfigUpdatedAt",
    "VersioningConfigUpdatedAt",
    "LifecycleConfigUpdatedAt",
    "NotificationConfigUpdatedAt",
    "BucketTargetsConfigUpdatedAt",
    "BucketTargetsConfigMetaUpdatedAt",
)


class Versioning(StrEnum):
    """A bucket's versioning; UNSET is a bucket that never had any."""

    UNSET = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class BucketMetadata:
    """The map with its values still encoded, in file order."""

    fields: Mapping[str, bytes]

    @property
    def name(self) -> str:
        return wire.read_str(self.fields.get("Name", packing.pack_str("")), 0, _BAD)[1]

    @property
    def created_ns(self) -> int:
        """Unix time in nanoseconds; 0 where the field is not there."""
        raw = self.fields.get("Created", b"")
        if len(raw) != 15 or raw[:3] != b"\xc7\x0c\x05":
            return 0
        seconds, nanoseconds = _GO_TIME.unpack(raw[3:])
        return int(seconds) * 1_000_000_000 + int(nanoseconds)

    def config(self, name: str) -> bytes:
        """A configuration's document (`PolicyConfigJSON`, `VersioningConfigXML`, …); empty where there is
        none.
        """
        raw = self.fields.get(name)
        return b"" if raw in (None, packing.NIL) else wire.read_bin(raw or b"", 0, _BAD)[1]

    @property
    def lock_enabled(self) -> bool:
        """True where the bucket was made with object lock."""
        return self.fields.get("LockEnabled") == packing.pack_bool(True) or b"Enabled" in self.config(
            "ObjectLockConfigXML"
        )

    @property
    def versioning(self) -> Versioning:
        """What the versioning document says. A state this build does not know is refused, not guessed."""
        document = self.config("VersioningConfigXML")
        status = _STATUS.search(document)
        if status is None:
            # Object lock brings versioning with it, whatever the document says.
            return Versioning.ENABLED if self.lock_enabled else Versioning.UNSET
        try:
            return Versioning(status[1].decode("ascii", "replace"))
        except ValueError as error:
            raise UnsupportedFormatError(_BAD, f"bucket {self.name}: versioning is {status[1]!r}") from error

    def with_config(self, name: str, document: bytes, now_ns: int) -> BucketMetadata:
        """The same metadata with one document exchanged, and its time beside it."""
        stamp = re.sub(r"(XML|JSON)$", "UpdatedAt", name)
        return BucketMetadata({**self.fields, name: packing.pack_bin(document), stamp: _pack_ns(now_ns)})

    def with_versioning(self, versioning: Versioning, now_ns: int) -> BucketMetadata:
        """The same metadata with another versioning state."""
        status = f"<Status>{versioning}</Status>"
        document = f'<VersioningConfiguration xmlns="{_NAMESPACE}">{status}</VersioningConfiguration>'
        return self.with_config("VersioningConfigXML", document.encode() if versioning else b"", now_ns)


def _pack_ns(nanoseconds: int) -> bytes:
    return packing.pack_time(*divmod(nanoseconds, 1_000_000_000))


def new_bucket(name: str, created_ns: int) -> BucketMetadata:
    """The metadata of a new, unversioned bucket, as MinIO writes it."""
    created = _pack_ns(created_ns)
    fields = {"Name": packing.pack_str(name), "Created": created, "LockEnabled": packing.pack_bool(False)}
    fields |= dict.fromkeys(_CONFIGS, packing.pack_bin(b""))
    fields |= dict.fromkeys(_TIMES, created)
    return BucketMetadata(MappingProxyType(fields))


def decode_content(content: bytes) -> BucketMetadata:
    """Decode the content of a `.metadata.bin`."""
    if content[:4] != _MAGIC:
        raise UnsupportedFormatError(
            _BAD, f"bucket metadata begins with {content[:4].hex()}, not with {_MAGIC.hex()}"
        )
    return BucketMetadata(MappingProxyType(wire.split_map(content[4:], _BAD)))


def encode_content(metadata: BucketMetadata) -> bytes:
    """The content of a `.metadata.bin`."""
    return _MAGIC + packing.join_map(metadata.fields)


def object_key(bucket: str) -> str:
    """The key of a bucket's metadata within the system volume."""
    return f"buckets/{bucket}/.metadata.bin"


def from_xlmeta(meta: XlMeta) -> BucketMetadata:
    """Read the metadata out of its object. UnsupportedFormatError where the drive holds a slice."""
    version = meta.versions[0] if meta.versions else None
    body = version.body if version else None
    if version is None or not isinstance(body, ObjectBody):
        raise CorruptError(_BAD, "the object of a bucket's metadata has no version")
    if body.ec_m != 1:
        raise UnsupportedFormatError("erasure-set", f"a bucket's metadata is spread over {body.ec_m} drives")
    if version.version_key not in meta.inline:
        raise UnsupportedFormatError(_BAD, "a bucket's metadata is not inline")
    return decode_content(unframe(meta.inline[version.version_key], body.size, body.ec_block_size))


def to_xlmeta(
    metadata: BucketMetadata, mod_time_ns: int, data_dir: bytes, previous: XlMeta | None = None
) -> XlMeta:
    """The object that holds the metadata, replacing the version in `previous`."""
    content = encode_content(metadata)
    version = new_object_version(
        version_id=NULL_ID,
        data_dir=data_dir,
        mod_time_ns=mod_time_ns,
        parts=(Part(1, len(content), len(content)),),
        meta_user={
            "etag": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "content-type": "application/octet-stream",
        },
        inline=True,
    )
    return add_version(previous or empty(), version, frame(content, BLOCK_SIZE))
