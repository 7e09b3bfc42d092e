"""Versions as lines of JSON: the form in which `inventory` and `export` print them (`Entry.to_json`).

`native/export.c` writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from dualtrack.engine.entries import Entry


def json_lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    """One line a version."""
    # One encoder for all: `json.dumps` makes one for each call that names separators.
    encode = json.JSONEncoder(separators=(",", ":")).encode
    for entry in entries:
        yield encode(entry.to_json()).encode() + b"\n"
