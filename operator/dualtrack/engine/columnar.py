"""Versions as rows of a table, for CSV and Parquet: one column a field of the JSON contract, in its order.

What is nested there (user metadata, tags) is JSON text here. A key that is no UTF-8 is in base64, and
`keyEncoding` says so; every other field is as in the JSON lines, so that one can be made from the other.
"""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Iterator

from dualtrack.engine.entries import Entry, rfc3339

COLUMNS = (
    "bucket",
    "key",
    "keyEncoding",
    "versionId",
    "isLatest",
    "kind",
    "etag",
    "etagSealed",
    "size",
    "lastModified",
    "contentType",
    "userMetadata",
    "tags",
    "storageClass",
    "dataDir",
    "inline",
    "parts",
)
Cell = str | int | bool | None


def cells(entry: Entry) -> tuple[Cell, ...]:
    """The values of `COLUMNS`; `lastModified` in nanoseconds."""
    key, encoding = _utf8(entry.key)
    fields = entry.to_json()
    return (
        _utf8(entry.bucket)[0],
        key,
        encoding,
        entry.version_id,
        entry.is_latest,
        entry.kind,
        _text(entry.etag),
        entry.etag_sealed,
        entry.size,
        entry.last_modified_ns,
        _text(entry.content_type),
        _json(fields["userMetadata"]),
        _json(fields["tags"]),
        _text(entry.storage_class),
        entry.data_dir,
        entry.inline,
        entry.parts,
    )


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """RFC 4180 with a head; times are RFC 3339, switches `true` and `false`, nothing is an empty field."""
    line: list[str] = []

    class Echo:
        def write(self, text: str, /) -> int:
            line.append(text)
            return len(text)

    writer = csv.writer(Echo(), lineterminator="\n")
    writer.writerow(COLUMNS)
    time = COLUMNS.index("lastModified")
    for entry in entries:
        row = [_cell(each) for each in cells(entry)]
        row[time] = rfc3339(entry.last_modified_ns)
        writer.writerow(row)
        yield "".join(line)
        line.clear()
    yield "".join(line)


def _cell(value: Cell) -> str | int:
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return ""
        case _:
            return value


def _utf8(text: str) -> tuple[str, str]:
    try:
        text.encode()
    except UnicodeEncodeError:
        return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode(), "base64"
    return text, ""


def _text(text: str | None) -> str | None:
    """Bytes that are no UTF-8 become escapes, in fields where servers write text only."""
    return (
        None if text is None else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    )


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
