"""`xl.json`, and the same text in an `xl.meta`: what MinIO wrote until 2020, one JSON document an object.

MinIO renames the file before it takes an object over, so a JSON text may lie under either name. It is read
here, never changed: whoever changes it has to move the object's parts to `legacy/` in the same step, which
only its own server does.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.legacy.v1 import Fields, V1Object, V1Part, integers, parts
from dualtrack.errors import CorruptError

REASON = "xl-json"

MAX_SIZE = 8 * 1024 * 1024
"""Twice what a document of 10,000 parts takes."""
_MAX_CONTAINERS = 100_000
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_json(data: bytes) -> bool:
    """Whether a file begins as a JSON object does."""
    return data[:64].lstrip()[:1] == b"{"


def decode_document(data: bytes) -> ObjectBody:
    """The one object that the document describes. CorruptError, or UnsupportedFormatError for a later one."""
    fields = Fields(_load(data), "the document")
    stat, erasure = fields.below("stat"), fields.below("erasure")
    return V1Object(
        version=fields.text("version"),
        format=fields.text("format"),
        size=stat.integer("size"),
        mod_time_ns=_time_ns(stat.text("modTime")),
        data=erasure.integer("data"),
        parity=erasure.integer("parity"),
        block_size=erasure.integer("blockSize"),
        index=erasure.integer("index"),
        distribution=integers(erasure.list("distribution"), "distribution"),
        meta=fields.texts("meta"),
        parts=parts(
            fields.list("parts"),
            lambda part: V1Part(
                part.integer("number"), part.integer("size"), part.integer("actualSize"), part.text("etag")
            ),
        ),
        version_id=fields.text("versionId"),
    ).body()


def _load(data: bytes) -> object:
    # Each pair of brackets becomes an object of some 60 bytes, so their number is bounded, too.
    if len(data) > MAX_SIZE or data.count(b"[") + data.count(b"{") > _MAX_CONTAINERS:
        raise CorruptError(REASON, f"a JSON document of {len(data)} bytes is larger than any server writes")
    try:
        return json.loads(data.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise CorruptError(REASON, f"the document is no JSON ({error})") from error


def _time_ns(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time; 0 where there is none, which Go writes as the year 1."""
    if not text or text.startswith("0001-01-01T"):
        return 0
    found = _TIME.fullmatch(text)
    if found is None:
        raise CorruptError(REASON, f"modTime is {text!r:.60}, no time")
    try:
        year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
        date = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise CorruptError(REASON, f"modTime is {text!r:.60}, no time that there is") from error
    since = date - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if found[8]:
        offset = int(found[9]) * 3600 + int(found[10]) * 60
        seconds += offset if found[8] == "-" else -offset
    return seconds * 1_000_000_000 + int((found[7] or "0").ljust(9, "0"))
