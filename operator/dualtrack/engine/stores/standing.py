"""What a damaged row still counts for, so that it can be written anew and every counter stays right.

The row itself cannot be asked. Its index entry carries a check of its own, and lies there exactly where the
row is a present one of a listed bucket; its summary says how many versions that has. Only where there is no
such witness (a system volume, or a damaged entry, too) the row's own header is taken at its word: counters
of objects may then be off by the flipped bit, which nobody decides by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dualtrack.engine.rows import is_system
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.summary import Summary
from dualtrack.errors import StoreCorruptError, StoreVersionError


@dataclass(frozen=True, slots=True)
class Standing:
    """Of a damaged row: `objects` and `versions` as its bucket counts them, whether an index entry lies
    there, and what is wrong."""

    objects: int
    versions: int
    listed: bool
    message: str


def standing(drive: bytes, full: bytes, value: bytes, entry: bytes | None, message: str) -> Standing:
    if entry is None and not is_system(keys.split_full(full)[0]):
        return Standing(0, 0, False, message)
    try:
        if entry is not None:
            summary = Summary.unpack(envelope.index_summary(drive, full, entry))
            return Standing(1, summary.version_count, True, message)
    except (StoreCorruptError, StoreVersionError):
        pass
    present, versions = envelope.counted(value)
    return Standing(int(present), versions, entry is not None, message)


def unpack_all(
    drive: bytes, stored: Mapping[bytes, bytes]
) -> tuple[dict[bytes, envelope.Stored], dict[bytes, str]]:
    """The sound ones of these rows, and what is wrong with each of the others. A row of a newer build is no
    damage: `StoreVersionError`."""
    sound: dict[bytes, envelope.Stored] = {}
    damaged: dict[bytes, str] = {}
    for full, value in stored.items():
        try:
            sound[full] = envelope.unpack(drive, full, value)
        except StoreCorruptError as error:
            damaged[full] = str(error)
    return sound, damaged
