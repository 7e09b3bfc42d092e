"""What a drive remembers of its store's row log: it tells a log that lost its end from one that has it.

A log's last segments, removed or never copied back, leave a log that is whole as far as anybody can see. So
the drive, which outlives its store's directory, notes how far the log was, whenever a segment is begun and
when its owner ends: `<drive>/.dualtrack/rowlog.json`. Not at each commit, which would cost a third flush:
what was lost since then cannot be told. The note is written after what it speaks of is durable, so a log that
ends before it has lost something.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields

from dualtrack.engine import checked, files
from dualtrack.engine.marker import control_directory
from dualtrack.errors import StoreCorruptError


@dataclass(frozen=True, slots=True)
class Noted:
    """All records of `log` up to `seq` were durable at `time_ns`, and its segment `number` was begun. `store`
    is the store's directory as seen from the drive, which may be mounted elsewhere now.
    """

    log: str
    number: int
    seq: int
    time_ns: int
    directory: str
    store: str


def path_of(drive: str) -> str:
    return os.path.join(control_directory(drive), "rowlog.json")


def seen_from(drive: str, store: str) -> str:
    return os.path.relpath(os.path.realpath(store), os.path.realpath(drive))


def read(drive: str) -> Noted | None:
    """None: the drive never noted anything. `StoreCorruptError` where the note cannot be understood."""
    path = path_of(drive)
    try:
        data, _ = files.read_regular(path, 1 << 16)
    except FileNotFoundError:
        return None
    try:
        return Noted(**checked.unpack(json.loads(data), [each.name for each in fields(Noted)]))
    except ValueError as error:
        raise StoreCorruptError(
            f"{path} cannot be read ({error}): whether the row log has its end cannot be told; if you are "
            "sure that it has, remove that file"
        ) from error


def write(drive: str, noted: Noted) -> None:
    files.write_atomic(path_of(drive), checked.pack(asdict(noted)) + b"\n", mode=0o640)
