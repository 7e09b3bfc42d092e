"""Versions as S3 shows them, and the summary that an index keeps of a whole object.

`Entry.to_json` is the contract of `dualtrack engine inventory` and `export`: one object per version, in
listing order. A text that is not UTF-8 becomes `{"base64": …}`, so that the JSON is valid and nothing is
lost.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from dualtrack.engine import attributes
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.versions import Kind, Version
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.summary import Summary, summary

__all__ = ["KINDS", "Entry", "Summary", "entries", "json_text", "rfc3339", "summary", "version_entry"]

#: Waits for its deletion at a replication target; S3 shows it no more.
PENDING_PURGE = "pendingPurge"
_DAY_NS = 86_400 * 1_000_000_000
_EPOCH = date(1970, 1, 1)

KINDS: Mapping[Kind, str] = {
    Kind.OBJECT: "object",
    Kind.LEGACY: "object",
    Kind.DELETE_MARKER: "deleteMarker",
    Kind.FREE_VERSION: "freeVersion",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One version. Of a delete marker and a free version only identity and time mean anything."""

    bucket: str
    key: str
    version_id: str
    is_latest: bool
    kind: str
    etag: str | None
    etag_sealed: bool
    size: int
    last_modified_ns: int
    content_type: str | None
    user_metadata: Mapping[str, str]
    tags: Mapping[str, str]
    storage_class: str | None
    data_dir: str | None
    inline: bool
    parts: int

    def to_json(self) -> dict[str, object]:
        return {
            "bucket": json_text(self.bucket),
            "key": json_text(self.key),
            "versionId": self.version_id,
            "isLatest": self.is_latest,
            "kind": self.kind,
            "etag": None if self.etag is None else json_text(self.etag),
            "etagSealed": self.etag_sealed,
            "size": self.size,
            "lastModified": rfc3339(self.last_modified_ns),
            "contentType": None if self.content_type is None else json_text(self.content_type),
            "userMetadata": _json_map(self.user_metadata),
            "tags": _json_map(self.tags),
            "storageClass": None if self.storage_class is None else json_text(self.storage_class),
            "dataDir": self.data_dir,
            "inline": self.inline,
            "parts": self.parts,
        }


def entries(bucket: str, key: str, meta: XlMeta) -> list[Entry]:
    """All versions, newest first; none for a file without versions. CorruptError for a damaged body."""
    return [
        version_entry(bucket, key, meta, version, number == 0) for number, version in enumerate(meta.versions)
    ]


def version_entry(bucket: str, key: str, meta: XlMeta, version: Version, latest: bool) -> Entry:
    """One version of a file. CorruptError where its body is damaged."""
    body = version.body
    if not isinstance(body, ObjectBody):
        return Entry(
            bucket=bucket,
            key=key,
            version_id=version.version_key,
            is_latest=latest,
            kind=PENDING_PURGE if attributes.is_purging(body) else KINDS[version.kind],
            etag=None,
            etag_sealed=False,
            size=0,
            last_modified_ns=version.mod_time_ns,
            content_type=None,
            user_metadata={},
            tags={},
            storage_class=None,
            data_dir=None,
            inline=False,
            parts=0,
        )
    named = attributes.Named(body)
    etag = named.etag()
    inline = named.is_inline(meta.inline_entry(version) is not None)
    return Entry(
        bucket=bucket,
        key=key,
        version_id=version.version_key,
        is_latest=latest,
        kind=PENDING_PURGE if attributes.is_purging(body) else KINDS[version.kind],
        etag=etag,
        etag_sealed=etag is None,
        size=named.size(),
        last_modified_ns=version.mod_time_ns,
        content_type=named.content_type(),
        user_metadata=named.user_metadata(),
        tags=named.tags(),
        storage_class=named.storage_class(),
        data_dir=None if inline else attributes.data_dir(body),
        inline=inline,
        parts=len(body.part_nums),
    )


def rfc3339(nanoseconds: int) -> str:
    """UTC with nine digits of a second."""
    days, rest = divmod(nanoseconds, _DAY_NS)
    seconds, rest = divmod(rest, 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    return f"{_date(days)}T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{rest:09d}Z"


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    """Days since 1970 as a date: the objects of a bucket share few of them, and the calendar is dear."""
    return (_EPOCH + timedelta(days=days)).isoformat()


def json_text(text: str) -> object:
    """The text, or its bytes in base64 where they are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"base64": base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()}
    return text


def _json_map(values: Mapping[str, str]) -> dict[str, object]:
    # JSON has no other keys than text: bytes that are none become the replacement character there.
    return {
        key.encode("utf-8", "surrogateescape").decode("utf-8", "replace"): json_text(value)
        for key, value in values.items()
    }
