"""Looking at every entry of a store by itself, so that one damaged row is named and the next still read.

Every other reader stops at the first damage, because nothing may be built on a store that has some. This one
only tells. What the library underneath cannot read at all (a page, a block) still ends it with an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.protocol import Damage
from dualtrack.errors import StoreCorruptError, StoreVersionError

_DAMAGE = (StoreCorruptError, StoreVersionError)


def check_page(
    drive: bytes, page: Sequence[tuple[bytes, bytes]], index: Mapping[bytes, bytes]
) -> tuple[Damage, ...]:
    """What is wrong with these rows and with the index entries of the same stretch of keys."""
    damaged: list[Damage] = []
    for full, value in page:
        row = _row_check(drive, full, value, damaged)
        found = _entry_check(drive, full, index.get(full), damaged)
        if row is not None and found is not None and row != found:
            damaged.append(_damage("pair", full, "row and index entry do not belong together"))
    for full in sorted(index.keys() - {full for full, _ in page}):
        if _entry_check(drive, full, index[full], damaged) is not None:
            damaged.append(_damage("pair", full, "an index entry without a row"))
    return tuple(damaged)


def _row_check(drive: bytes, full: bytes, value: bytes, damaged: list[Damage]) -> int | None:
    """The check of the index entry that belongs to the row; None if the row is damaged."""
    try:
        return envelope.unpack(drive, full, value).summary_check
    except _DAMAGE as error:
        damaged.append(_damage("row", full, str(error)))
        return None


def _entry_check(drive: bytes, full: bytes, entry: bytes | None, damaged: list[Damage]) -> int | None:
    try:
        return envelope.unpack_index(drive, full, entry)[1] if entry is not None else 0
    except _DAMAGE as error:
        damaged.append(_damage("index", full, str(error)))
        return None


def _damage(part: str, full: bytes, message: str) -> Damage:
    return Damage(part, *keys.split_full(full), message)
