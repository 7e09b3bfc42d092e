"""Defects to be found: each breaks one object in one way, as a bug or a bad disk would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dualtrack.engine.owner import Owner
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.protocol import Batch, Place, Put

Plant = Callable[[Path, Owner, Place], None]


def _file(drive: Path, place: Place) -> Path:
    return drive / place[0] / place[1] / "xl.meta"


def _row(owner: Owner, place: Place) -> tuple[Row, bytes]:
    row = owner.get(*place)
    assert row is not None
    listed = owner.scan_index(*place, None, 1)
    return row, listed[0][1] if listed and listed[0][0] == place[1] else b""


def put(owner: Owner, row: Row, summary: bytes) -> None:
    """Store a row as it is, under a generation of its own."""
    made = replace(row, generation=owner.next_generation())
    owner.commit(Batch(puts=(Put(made, summary, "any", int(row.present)),)))


def flipped_byte(drive: Path, owner: Owner, place: Place) -> None:
    """One bit of the row's bytes, in the middle of the inline data: it still decodes."""
    row, summary = _row(owner, place)
    data = bytearray(row.data)
    data[-1] ^= 1
    put(owner, replace(row, data=bytes(data)), summary)


def stale_row(drive: Path, owner: Owner, place: Place) -> None:
    """The file was written again, and nobody told the store."""
    path = _file(drive, place)
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes()[:-1] + b"\0")
    os.replace(copy, path)


def row_of_another_key(drive: Path, owner: Owner, place: Place) -> None:
    """What belongs to another object stands under this key."""
    row, summary = _row(owner, place)
    other = next(each for each in owner.scan(None, 1_000) if each.present and each.data != row.data)
    put(owner, replace(row, data=other.data), summary)


def missing_row(drive: Path, owner: Owner, place: Place) -> None:
    """A file that no row knows: a new object that was never swept."""
    path = _file(drive, (place[0], place[1] + ".new"))
    path.parent.mkdir(parents=True)
    shutil.copy2(_file(drive, place), path)


def extra_row(drive: Path, owner: Owner, place: Place) -> None:
    """A row whose file is gone."""
    _file(drive, place).unlink()


def resurrected(drive: Path, owner: Owner, place: Place) -> None:
    """A tombstone, and the file is there."""
    row, _ = _row(owner, place)
    put(owner, Row.tombstone(*place, row.generation), b"")


def wrong_index(drive: Path, owner: Owner, place: Place) -> None:
    """The index says something else of the object than its row."""
    row, summary = _row(owner, place)
    put(owner, row, summary[:-1] + bytes((summary[-1] ^ 1,)))


def changed_attributes(drive: Path, owner: Owner, place: Place) -> None:
    """Bytes and row agree; a restore would give the file another mode."""
    _file(drive, place).chmod(0o600)


PLANTS: dict[str, tuple[Plant, str]] = {
    "flipped byte": (flipped_byte, "content"),
    "stale row": (stale_row, "content"),
    "row of another key": (row_of_another_key, "content"),
    "missing row": (missing_row, "missingRow"),
    "extra row": (extra_row, "missingFile"),
    "resurrected tombstone": (resurrected, "deleted"),
    "wrong index": (wrong_index, "index"),
    "changed attributes": (changed_attributes, "attributes"),
}
"""Each with the verdict that names it."""
