"""Rows as Python makes them of files, in the form in which the native reader gives them."""

from __future__ import annotations

from dualtrack.engine.drafts import draft_of_found
from dualtrack.engine.listing import Found, Problem
from dualtrack.engine.rows import Generation, Row
from dualtrack.engine.stores import envelope, keys

SealedRow = tuple[bytes, bytes, int]
"""Envelope, index entry, number of versions."""


def sealed_by_python(drive: bytes, found: Found, generation: Generation) -> SealedRow | Problem:
    draft = draft_of_found(found)
    if isinstance(draft, Problem):
        return draft
    full = keys.full_key(found.bucket, found.key)
    check = envelope.summary_check(drive, full, draft.summary)
    row = Row.of(found.bucket, found.key, generation, draft)
    value = envelope.pack(drive, full, row, draft.versions, check)
    return value, envelope.pack_index(draft.summary, check), draft.versions
