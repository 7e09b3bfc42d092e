"""Which versions hold which content: the references that instant upload finds content by.

A version that may be found has its content's BLAKE3 in its own metadata, so that the references follow from
the rows. Each is a meta value of the store, `content/<hash>/<name of the version>`, and is set and removed in
the transaction of the row; how many there are is the content's reference count. A reference is where to look,
never a promise: whoever uses one looks at the version itself. So one that stayed behind (a row that the drain
or a sweep wrote, a store that was rebuilt) does no harm, and one that is missing costs an upload.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dualtrack.engine import blake
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.versions import Kind, Version
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.naming import raw
from dualtrack.errors import FormatError

HASH_KEY = "X-Minio-Internal-dualtrack-blake3"
"""In MetaSys, where both servers keep what they do not know and show none of it."""


@dataclass(frozen=True, slots=True)
class Reference:
    bucket: str
    key: str
    version: str
    """The version key: `null`, or a UUID."""

    def pack(self) -> bytes:
        return json.dumps([self.bucket, self.key, self.version]).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Reference:
        return cls(*json.loads(data))

    def name(self, content: str) -> str:
        """Of the meta value. Keys may be longer than a name may, so it holds their hash."""
        own = blake.digest(b"\0".join(map(raw, (self.bucket, self.key, self.version))))[:16]
        return f"{prefix(content)}{own.hex()}"


def prefix(content: str) -> str:
    return f"content/{content}/"


def changes(bucket: str, key: str, before: XlMeta | None, after: XlMeta | None) -> Mapping[str, bytes | None]:
    """What a row's transaction does to the references when the object's metadata become `after`."""
    old, new = (dict(_named(bucket, key, meta, other)) for meta, other in ((before, after), (after, before)))
    return {**dict.fromkeys(old, None), **new}


def _named(
    bucket: str, key: str, meta: XlMeta | None, other: XlMeta | None
) -> Iterator[tuple[str, bytes | None]]:
    """The references of the versions that only `meta` has."""
    shared = {version.raw_body for version in other.versions} if other is not None else set()
    for version in meta.versions if meta is not None else ():
        content = content_of(version) if version.raw_body not in shared else None
        if content is not None:
            reference = Reference(bucket, key, version.version_key)
            yield reference.name(content), reference.pack()


def content_of(version: Version) -> str | None:
    """The BLAKE3 of a version's content, in hex, where it is known."""
    if version.kind is not Kind.OBJECT:
        return None
    try:
        body = version.body
    except FormatError:
        return None
    value = body.meta_sys.get(HASH_KEY) if isinstance(body, ObjectBody) else None
    return value.decode("ascii", "replace") if value is not None else None
