"""What a repair makes of an object, and what it must not make: pure functions of what was found.

They say what the row will be, before anything is written down; which of an object's two possible files a
repair is about; and which directories must be there for a file to be worth writing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dualtrack.engine import attributes
from dualtrack.engine.drafts import draft_of_found, resident
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.judging import Evidence
from dualtrack.engine.listing import Found, Problem
from dualtrack.engine.naming import MetaName
from dualtrack.engine.repair.strategies import Action
from dualtrack.engine.rows import NO_FILE, Generation, Row, RowDraft, RowOrigin
from dualtrack.engine.stores.protocol import Place
from dualtrack.errors import FormatError


def row_after(place: Place, seen: Evidence, action: Action, generation: Generation) -> Row:
    """What the repair makes the row say; the row itself where only its file is changed."""
    match action:
        case Action.HOLD_FILE | Action.KEEP_ROW if seen.row is not None and seen.row.present:
            # What `kv_only` would have written: of any other row a missing file is a loss.
            return replace(seen.row, generation=generation, origin=RowOrigin.KV, fingerprint=NO_FILE)
        case Action.PUT_ROW:
            return Row.of(*place, generation, sound_draft(seen))
        case Action.RETIRE_ROW:
            assert isinstance(seen.file, Found)
            return Row.of(*place, generation, resident(seen.file))
        case Action.BURY_ROW:
            return Row.tombstone(*place, generation)
        case _:
            assert seen.row is not None
            return seen.row


def sound_draft(seen: Evidence) -> RowDraft:
    """Of a file that `choose` has found sound."""
    assert isinstance(seen.file, Found)
    draft = draft_of_found(seen.file)
    assert not isinstance(draft, Problem)
    return draft


def meta_name(seen: Evidence) -> MetaName:
    """The file that the repair is about: the one that is there, else the row's."""
    if isinstance(seen.file, Found):
        return seen.file.name
    return seen.row.name if seen.row is not None else MetaName.XL_META


def has_other_name(seen: Evidence) -> bool:
    return isinstance(seen.file, Found) and seen.row is not None and seen.file.name is not seen.row.name


def needed_directories(meta: XlMeta) -> Iterator[bytes]:
    """Data directories without which versions cannot be read: not of inline, empty or tiered content."""
    for version in meta.versions:
        body = version.body
        if not isinstance(body, ObjectBody) or (name := attributes.data_dir(body)) is None:
            continue
        inline = attributes.is_inline(body, meta.inline_entry(version) is not None)
        if not inline and body.size > 0 and not attributes.internal(body, "transition-status"):
            yield name.encode()


def versions_of(row: Row | None) -> int:
    """How many versions the store counts of a row: those of its bytes, as far as they can be decoded."""
    if row is None or not row.present:
        return 0
    try:
        return len(xlmeta.decode(row.data).versions)
    except FormatError:
        return 1
