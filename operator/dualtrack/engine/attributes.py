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

from dualtrack.engine.formats.bodies import NULL_ID, ObjectBody

USER_PREFIX = "x-amz-meta-"
TAGGING = "x-amz-tagging"
STORAGE_CLASS = "x-amz-storage-class"
DEFAULT_STORAGE_CLASS = "STANDARD"
INTERNAL_PREFIXES = ("x-rustfs-internal-", "x-minio-internal-")

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


def internal(body: ObjectBody, suffix: str) -> bytes | None:
    """An internal value of MetaSys by the end of its name; RustFS's spelling goes before MinIO's."""
    wanted = [prefix + suffix for prefix in INTERNAL_PREFIXES]
    found: dict[str, bytes] = {}
    for key, value in body.meta_sys.items():
        if (name := key.lower()) in wanted:
            found[name] = value
    return next((found[name] for name in wanted if name in found), None)


def encryption(body: ObjectBody) -> Encryption:
    """How the content is encrypted, by the markers of either server."""
    sealed = {name for key in body.meta_sys if (name := key.lower()).endswith("sealed-key")}
    for name, kind in _SEALED_KEYS if sealed else ():
        if any(prefix + _SSE + name in sealed for prefix in INTERNAL_PREFIXES):
            return kind
    user = lower(body.meta_user)
    if "x-amz-server-side-encryption-customer-algorithm" in user:
        return Encryption.SSE_C
    named = user.get("x-amz-server-side-encryption")
    if named is not None:
        return Encryption.SSE_KMS if named.startswith("aws:kms") else Encryption.SSE_S3
    if any(key.startswith("x-rustfs-encryption-") for key in user):
        return Encryption.SSE_S3
    return Encryption.NONE


def compressed(body: ObjectBody) -> bool:
    return internal(body, "compression") is not None


def etag(body: ObjectBody) -> str | None:
    """The ETag as HEAD reports it, without quotes; None where encryption hides it, empty where none is
    stored.

    A sealed ETag ends in the encrypted MD5: SSE-C and SSE-KMS report these digits as they are, SSE-S3
    decrypts them, which needs the key. Multipart ETags are never sealed.
    """
    stored = lower(body.meta_user).get("etag", "")
    if not stored.startswith(_SEALED_PREFIX) or len(stored) <= 32:
        return stored
    return stored[-32:] if encryption(body) in (Encryption.SSE_C, Encryption.SSE_KMS) else None


def size(body: ObjectBody) -> int:
    """The size as HEAD reports it: the client's bytes where what is stored was transformed."""
    if not compressed(body) and encryption(body) is Encryption.NONE:
        return body.size
    if body.part_actual_sizes and min(body.part_actual_sizes) >= 0:
        return sum(body.part_actual_sizes)
    actual = internal(body, "actual-size") or b""
    return int(actual) if actual.isdigit() and len(actual) <= _DIGITS else body.size


def is_inline(body: ObjectBody, has_entry: bool) -> bool:
    """Whether the content lies in the `xl.meta`. The marker alone does not say so: there are files that
    have it and keep the content in a part file; and MinIO gives a multipart object of 0 bytes an entry
    without it.
    """
    return has_entry and (internal(body, "inline-data") is not None or body.size == 0)


def data_dir(body: ObjectBody) -> str | None:
    """The name of the data directory; there need not be one on the drive (inline, empty, tiered)."""
    return None if body.data_dir == NULL_ID else str(uuid.UUID(bytes=body.data_dir))


def user_metadata(body: ObjectBody) -> dict[str, str]:
    """User metadata under lower-case keys without `x-amz-meta-`."""
    found: dict[str, str] = {}
    for key, value in lower(body.meta_user).items():
        if key.startswith(USER_PREFIX):
            found[key.removeprefix(USER_PREFIX)] = value
        elif key not in STANDARD and not key.startswith(_RESERVED):
            found.setdefault(key, value)
    return found


def tags(body: ObjectBody) -> dict[str, str]:
    query = lower(body.meta_user).get(TAGGING, "")
    return dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))


def storage_class(body: ObjectBody) -> str:
    return lower(body.meta_user).get(STORAGE_CLASS) or DEFAULT_STORAGE_CLASS
