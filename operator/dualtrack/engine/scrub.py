"""`scrub`: every row, index entry and meta value of a store is read and checked; every damaged one is named.

Nothing is repaired here. A damaged row goes into the quarantine by name, so that it stays known; what mends
it depends on which side leads. While files do, `rebuild` makes a new store from them. Once rows do, a
snapshot and the row log since are the only other copy (`restore-store`).
"""

from __future__ import annotations

from datetime import UTC

from dualtrack.engine import trust
from dualtrack.engine.quarantine import STORE, Quarantined
from dualtrack.engine.stores.protocol import Damage, Entries, ScrubPage
from dualtrack.engine.task import Task
from dualtrack.errors import StoreCorruptError

QUARANTINE_BATCH = 256


def scrub(task: Task) -> None:
    """Read all of it. `StoreCorruptError` if anything is damaged, with how much and the first names."""
    after = b""
    first: Entries | None = None
    pending: list[Damage] = []
    while True:
        task.checkpoint()
        page = task.owner.scrub(after)
        first = first or page.entries
        _count(task, page)
        pending += [each for each in page.damaged if each.part == "row"]
        if len(pending) >= QUARANTINE_BATCH:
            _set_aside(task, pending)
            pending = []
        if not page.last:
            break
        after = page.last
    _set_aside(task, pending)
    _count_meta(task)
    if page.entries == first and (task.counts["rows"], task.counts["index"]) != (first.rows, first.index):
        task.counts["missing"] = abs(first.rows - task.counts["rows"]) + abs(
            first.index - task.counts["index"]
        )
        task.name(f"the store counts {first.rows} rows and {first.index} index entries")
    _conclude(task)


def _count(task: Task, page: ScrubPage) -> None:
    task.counts["rows"] += page.rows
    task.counts["index"] += page.index
    task.scanned += page.rows
    for each in page.damaged:
        task.counts[f"damaged_{each.part}"] += 1
        task.name(f"{each.bucket}/{each.key}: {each.part}")


def _count_meta(task: Task) -> None:
    for name in task.owner.scrub_meta():
        task.counts["damaged_meta"] += 1
        task.name(f"meta value {name}")


def _set_aside(task: Task, damaged: list[Damage]) -> None:
    """One record an object, kept from an earlier scrub where there is one."""
    now = task.now().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    meta: dict[str, bytes | None] = {}
    for each in damaged:
        record = Quarantined(each.bucket, each.key, STORE, each.message[:512], "", 1, now, now)
        before = task.owner.meta(record.meta_name)
        if before:
            record = record.after(Quarantined.unpack(before))
        meta[record.meta_name] = record.pack()
    if meta:
        task.commit(meta=meta)


def _conclude(task: Task) -> None:
    damaged = sum(count for name, count in task.counts.items() if name.startswith("damaged_"))
    if not damaged and not task.counts["missing"]:
        task.notes["message"] = f"every entry of {task.store_dir} is sound: {task.counts['rows']} rows"
        return
    remedy = (
        "rows are the only copy: dualtrack engine restore-store makes the store anew from a snapshot"
        if trust.holds_only_copy(task.drive.path)
        else "files are the truth: dualtrack engine rebuild makes a new store from them"
    )
    raise StoreCorruptError(
        f"{damaged} entries of {task.store_dir} are damaged and {task.counts['missing']} missing "
        f"({'; '.join(task.names[:3])}); {remedy}"
    )
