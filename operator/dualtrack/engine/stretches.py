"""The order of a pass: the system volume, then the buckets, each a stretch where an order was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dualtrack.engine import naming
from dualtrack.engine.drive import Drive
from dualtrack.engine.sealing import Sealer
from dualtrack.engine.walk import Cursor, Range, walk


def walk_in(
    drive: Drive, order: Sequence[str], after: Cursor | None, sealer: Sealer | None = None
) -> Iterator[Range]:
    """The rest of a pass whose buckets come in `order` (empty: the walk's own)."""
    if not order:
        yield from walk(drive, after=after, system=True, sealer=sealer)
        return
    # Whatever appeared after the order was chosen comes last.
    new = sorted(set(drive.buckets()) - set(order))
    stretches: list[list[str]] = [[], *([bucket] for bucket in (*order, *new))]
    reached = stretch_of(after, stretches)
    if reached is None:
        after = None  # its bucket is gone: begin anew, which costs time and nothing else
    for buckets in stretches[reached or 0 :]:
        yield from walk(drive, after=after, buckets=buckets, system=not buckets, sealer=sealer)
        after = None


def stretch_of(after: Cursor | None, stretches: list[list[str]]) -> int | None:
    """Which of the stretches of a pass a cursor lies in; the first is the system volume."""
    bucket = naming.text(after.directory[0]) if after is not None else "."
    wanted = [] if bucket.startswith(".") else [bucket]
    return stretches.index(wanted) if wanted in stretches else None
