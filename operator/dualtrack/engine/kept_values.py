"""Values kept for 30 days: what rows said before they were buried or replaced, outside the store.

A sweep takes a file that is gone for a deletion, within limits, and the row of a file that it cannot read out
of service. Should that have been a mistake (a lost directory, a wrong `--accept-deletions`) or damage, the
row was the last that knew the object. So it is flushed to `<drive>/.dualtrack/deleted/` before what replaces
it is committed, each time into a file of its own, `<day>-<fence>-<number>.rows`, so that nothing follows what
a power cut has torn: a length (4 bytes) and the row with its check (`frames.row_bytes`), again and again.
What is torn was not replaced. From `KvOnly` on the drain does the same with the row of a marked key that has
no file: whether that file was deleted or lost nobody can tell.

Files that are older than 30 days go when a later sweep buries, by the clock and by what the audit has seen of
these days (`witness.py`). From `KvOnly` on there is no sweep, and none goes: until files lead again nothing
can be given back (`deleted.py`), and what nobody could ask for has not been kept for its time.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from dualtrack.engine import auditlog, files, frames, witness
from dualtrack.engine.marker import control_directory
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.protocol import Place
from dualtrack.errors import StoreCorruptError

KEPT = timedelta(days=30)
_LENGTH = struct.Struct(">I")
_NAME = re.compile(r"(\d{8})-(\d+)-(\d+)\.rows")


class _Name(NamedTuple):
    day: str
    fence: int
    number: int

    def __str__(self) -> str:
        return f"{self.day}-{self.fence}-{self.number}.rows"


def keep(drive: str, now: datetime, fence: int, rows: Sequence[Row]) -> None:
    """Those that have a value; durable when it returns."""
    found = [frames.row_bytes(row) for row in rows if row.data]
    if not found:
        return
    folder, run = _folder(drive), (f"{now.astimezone(UTC):%Y%m%d}", fence)
    files.ensure_directory(folder)
    number = max((name.number for name in _names(drive) if (name.day, name.fence) == run), default=0) + 1
    data = b"".join(_LENGTH.pack(len(each)) + each for each in found)
    files.write_new(f"{folder}/{_Name(*run, number)}", data)
    files.sync_directory(folder)


def expire(drive: str, now: datetime) -> int:
    """Remove files of days that are more than 30 days ago; how many. Names that are not ours stay."""
    last = f"{now.astimezone(UTC) - KEPT - timedelta(days=1):%Y%m%d}"
    old = [name for name in _names(drive) if name.day <= last]
    lines = auditlog.look(drive)[0] if old else []
    seen = {fence: witness.passed(lines, fence, now) for fence in {name.fence for name in old}}
    old = [name for name in old if seen[name.fence] >= KEPT]
    for name in old:
        files.unlink(f"{_folder(drive)}/{name}")
    return len(old)


def kept(drive: str, damaged: list[str] | None = None) -> Iterator[tuple[str, Row]]:
    """Every kept row with the day of its deletion, oldest first. Where one is damaged: `StoreCorruptError`;
    or, with `damaged`, its file and offset are added to that, and all others follow.
    """
    for name in _names(drive):
        with open(f"{_folder(drive)}/{name}", "rb") as file:
            while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
                where, length = f"{file.name}, byte {file.tell()}", _LENGTH.unpack(head)[0]
                if length > frames.MAX_FRAME:
                    _tell(damaged, f"{where}: a row of {length} bytes is announced")
                    break  # where the next one begins is not known
                if len(data := file.read(length)) < length:
                    break  # torn: what it said was never replaced
                try:
                    row = frames.row_of_bytes(data)
                except StoreCorruptError as error:
                    _tell(damaged, f"{where}: {error}")
                else:
                    yield name.day, row


def _tell(damaged: list[str] | None, what: str) -> None:
    if damaged is None:
        raise StoreCorruptError(what)
    damaged.append(what)


def places(drive: str) -> set[Place]:
    """Every object of which something is kept."""
    return {(row.bucket, row.key) for _, row in kept(drive)}


def _folder(drive: str) -> str:
    return f"{control_directory(drive)}/deleted"


def _names(drive: str) -> list[_Name]:
    """In the order in which they were written."""
    try:
        found = map(_NAME.fullmatch, os.listdir(_folder(drive)))
    except FileNotFoundError:
        return []
    return sorted(_Name(each[1], int(each[2]), int(each[3])) for each in found if each)
