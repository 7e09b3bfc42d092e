"""Rows as lines of JSON by either way, for tests that hold the two against each other."""

from __future__ import annotations

from dualtrack.engine.entries import entries
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.jsonlines import json_lines
from dualtrack.engine.native.lines import LineWriter
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState, is_system
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.protocol import PackedRow

DRIVE = "11111111-2222-3333-4444-555555555555"


def packed(bucket: str, key: str, data: bytes, state: RowState = RowState.PRESENT) -> PackedRow:
    row = Row(
        bucket,
        key,
        Generation(7, 9),
        state,
        RowOrigin.FS,
        Fingerprint(1, len(data), 3, 4),
        0o644,
        0,
        0,
        3,
        data,
    )
    full = keys.full_key(bucket, key)
    return full, envelope.pack(DRIVE.encode(), full, row, 1, 0)


def by_python(row: PackedRow) -> bytes:
    """Raises what Python raises at a damaged row."""
    opened = envelope.unpack(DRIVE.encode(), *row).row
    if not opened.present or is_system(opened.bucket):
        return b""
    return b"".join(json_lines(entries(opened.bucket, opened.key, xlmeta.decode(opened.data))))


def natively(writer: LineWriter, row: PackedRow) -> bytes | None:
    """None where the row is left to Python."""
    found = list(writer.lines([row]))
    if row in found:
        assert found == [row]
        return None
    return b"".join(item for item in found if isinstance(item, bytes))
