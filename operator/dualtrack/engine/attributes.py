"""What S3 calls things that an `xl.meta` stores under each vendor's names.

MinIO keeps user metadata with its prefix (`X-Amz-Meta-Color`) and marks encryption in MetaSys; RustFS keeps
user metadata bare (`color`), with the prefix only where a name would clash, and marks encryption in
MetaUsr. One file may hold versions of both. Sources: the servers' code, and drives that both have filled.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from enum import Enum
from urllib.parse import parse_qsl

from dualtrack.engine.formats.bodies import NULL_ID, Body, ObjectBody

USER_PREFIX = "x-amz-meta-"
TAGGING = "x-amz-tagging"
STORAGE_CLASS = "x-amz-storage-class"
DEFAULT_STORAGE_CLASS = "STANDARD"
_RUSTFS, _MINIO = INTERNAL_PREFIXES = ("x-rustfs-internal-", "x-minio-internal-")

# Standard headers that are kept in MetaUsr beside user metadata. What begins with `x-amz-` and so on is none
# of the user's either.
STANDARD = frozenset(
    {
        "etag",
        "content-type",
        "content-encoding",
        "content-disposition",
        "content-language",
        "content-length",
        "content-md5",
        "cache-control",
        "expires",
        "last-modified",
        "md5sum",
    }
)
_RESERVED = ("x-amz-", "x-rustfs-", "x-minio-")

_SEALED_PREFIX = "20000f00"
_SSE = "server-side-encryption-"
_SSE_HEADER, _SSE_C = "x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm"
_RUSTFS_ENCRYPTION, _SEALED_KEY = "x-rustfs-encryption-", "sealed-key"
_PURGING = frozenset(prefix + "purgestatus" for prefix in INTERNAL_PREFIXES)
_DIGITS = 18  # of a size in bytes


class Encryption(Enum):
    """Who holds the key, which decides what can be said of a sealed ETag."""

    NONE = "none"
    SSE_C = "SSE-C"
    SSE_S3 = "SSE-S3"
    SSE_KMS = "SSE-KMS"


# SSE-S3 and SSE-KMS have a key of the KMS besides (`s3-kms-sealed-key`), which tells nothing here.
_SEALED_KEYS = (
    ("s3-sealed-key", Encryption.SSE_S3),
    ("kms-sealed-key", Encryption.SSE_KMS),
    ("sealed-key", Encryption.SSE_C),
)


def lower(mapping: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in mapping.items()}


class Named:
    """A body's metadata under lower-case names, for whoever asks several things of it."""

    __slots__ = ("_body", "_system", "_user")

    def __init__(self, body: ObjectBody) -> None:
        self._body = body
        self._system = {key.lower(): value for key, value in body.meta_sys.items()}
        self._user = lower(body.meta_user)

    def internal(self, suffix: str) -> bytes | None:
        """An internal value by the end of its name; RustFS's spelling goes before MinIO's."""
        found = self._system.get(_RUSTFS + suffix)
        return self._system.get(_MINIO + suffix) if found is None else found

    def encryption(self) -> Encryption:
        """How the content is encrypted, by the markers of either server."""
        for name in self._system:
            if name.endswith(_SEALED_KEY):
                for suffix, kind in _SEALED_KEYS:
                    if self.internal(_SSE + suffix) is not None:
                        return kind
                break
        user = self._user
        if _SSE_C in user:
            return Encryption.SSE_C
        named = user.get(_SSE_HEADER)
        if named is not None:
            return Encryption.SSE_KMS if named.startswith("aws:kms") else Encryption.SSE_S3
        for name in user:
            if name.startswith(_RUSTFS_ENCRYPTION):
                return Encryption.SSE_S3
        return Encryption.NONE

    def etag(self) -> str | None:
        """As HEAD reports it, without quotes; None where encryption hides it, empty where none is stored.

        A sealed ETag ends in the encrypted MD5: SSE-C and SSE-KMS report these digits as they are, SSE-S3
        decrypts them, which needs the key. Multipart ETags are never sealed.
        """
        stored = self._user.get("etag", "")
        if len(stored) <= 32 or not stored.startswith(_SEALED_PREFIX):
            return stored
        return stored[-32:] if self.encryption() in (Encryption.SSE_C, Encryption.SSE_KMS) else None

    def size(self) -> int:
        """As HEAD reports it: the client's bytes where what is stored was transformed."""
        body = self._body
        if self.internal("compression") is None and self.encryption() is Encryption.NONE:
            return body.size
        if body.part_actual_sizes and min(body.part_actual_sizes) >= 0:
            return sum(body.part_actual_sizes)
        actual = self.internal("actual-size") or b""
        return int(actual) if actual.isdigit() and len(actual) <= _DIGITS else body.size

    def is_inline(self, has_entry: bool) -> bool:
        """Whether the content lies in the `xl.meta`. The marker alone does not say so: there are files that
        have it and keep the content in a part file; and MinIO gives a multipart object of 0 bytes an entry
        without it.
        """
        return has_entry and (self._body.size == 0 or self.internal("inline-data") is not None)

    def storage_class(self) -> str:
        return self._user.get(STORAGE_CLASS) or DEFAULT_STORAGE_CLASS

    def content_type(self) -> str | None:
        return self._user.get("content-type")

    def user_metadata(self) -> dict[str, str]:
        """User metadata under lower-case keys without `x-amz-meta-`."""
        found: dict[str, str] = {}
        for key, value in self._user.items():
            if key.startswith(USER_PREFIX):
                found[key.removeprefix(USER_PREFIX)] = value
            elif key not in STANDARD and not key.startswith(_RESERVED):
                found.setdefault(key, value)
        return found

    def tags(self) -> dict[str, str]:
        query = self._user.get(TAGGING)
        return dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape")) if query else {}


def internal(body: ObjectBody, suffix: str) -> bytes | None:
    """An internal value of MetaSys by the end of its name; RustFS's spelling goes before MinIO's."""
    return Named(body).internal(suffix)


def encryption(body: ObjectBody) -> Encryption:
    """How the content is encrypted, by the markers of either server."""
    return Named(body).encryption()


def is_purging(body: Body) -> bool:
    """Whether the version waits for its deletion at a replication target: servers present it as deleted."""
    return bool(body.meta_sys) and any(
        value and key.lower() in _PURGING for key, value in body.meta_sys.items()
    )


def compressed(body: ObjectBody) -> bool:
    return internal(body, "compression") is not None


def etag(body: ObjectBody) -> str | None:
    """The ETag as HEAD reports it; see `Named`."""
    return Named(body).etag()


def size(body: ObjectBody) -> int:
    """The size as HEAD reports it; see `Named`."""
    return Named(body).size()


def is_inline(body: ObjectBody, has_entry: bool) -> bool:
    """Whether the content lies in the `xl.meta`; see `Named`."""
    return Named(body).is_inline(has_entry)


def data_dir(body: ObjectBody) -> str | None:
    """The name of the data directory; there need not be one on the drive (inline, empty, tiered)."""
    return None if body.data_dir == NULL_ID else str(uuid.UUID(bytes=body.data_dir))


def user_metadata(body: ObjectBody) -> dict[str, str]:
    """User metadata; see `Named`."""
    return Named(body).user_metadata()


def tags(body: ObjectBody) -> dict[str, str]:
    return Named(body).tags()


def storage_class(body: ObjectBody) -> str:
    return Named(body).storage_class()
