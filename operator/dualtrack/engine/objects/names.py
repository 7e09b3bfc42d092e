"""Which bucket names and keys a drive can hold, and where a key lies on it.

An object is a directory named like its key, so a key has to be a relative path that means itself. A key that
ends in "/" (a directory object) lies under the name that MinIO gives it, with `__XLDIR__` for the slash. Two
keys that would share one directory are refused at the door, in every mode alike: what `kv_only` accepts must
still fit on the drive if the migration is rolled back.
"""

from __future__ import annotations

import re

from dualtrack.engine import naming
from dualtrack.engine.objects.errors import InvalidBucketName, InvalidKey, KeyTooLong, NoSuchBucket

MAX_KEY = 1024
MAX_SEGMENT = 255

_SUFFIX = naming.raw(naming.DIRECTORY_SUFFIX)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_EXISTING = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_:]{1,61}[A-Za-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


def check_new_bucket(name: str) -> None:
    """Raise `InvalidBucketName` unless S3 allows a bucket of this name."""
    if not _BUCKET.fullmatch(name) or _ADDRESS.fullmatch(name) or ".." in name:
        raise InvalidBucketName(
            f"bucket {name!r}: use 3 to 63 lower-case letters, digits, dots and hyphens", name
        )


def check_bucket(name: str) -> None:
    """Raise `NoSuchBucket` for a name that no bucket can have, so that no path is made from it."""
    if not _EXISTING.fullmatch(name):
        raise NoSuchBucket(f"there is no bucket {name!r}", name)


def check_key(bucket: str, key: str) -> None:
    """Raise `InvalidKey` or `KeyTooLong` unless `key` can lie on the drive under its own name."""
    data = naming.raw(key)
    if len(data) > MAX_KEY:
        raise KeyTooLong(f"the key has {len(data)} bytes, {MAX_KEY} are allowed", bucket, key)
    if not data or data.startswith(b"/") or b"\0" in data:
        raise InvalidKey(f"key {key!r}: it is empty, begins with / or holds a NUL", bucket, key)
    segments = data.split(b"/")
    last = segments.pop() or None
    if last is None:
        segments[-1] += _SUFFIX
    elif last.endswith(_SUFFIX):
        raise InvalidKey(f"key {key!r}: {naming.DIRECTORY_SUFFIX} at its end stands for a slash", bucket, key)
    else:
        segments.append(last)
    for segment in segments:
        if segment in (b"", b".", b"..", _SUFFIX):
            raise InvalidKey(f"key {key!r}: it has an empty segment, or . or ..", bucket, key)
        if len(segment) > MAX_SEGMENT:
            raise KeyTooLong(
                f"a segment of the key is longer than the {MAX_SEGMENT} bytes of a name", bucket, key
            )


def is_directory_object(key: str) -> bool:
    """Directory objects are never versioned."""
    return key.endswith("/")
