"""`quarantine retry`: read quarantined objects again, without a sweep over the whole drive.

What reads well now becomes a row, by the same rules and the same compare-and-set as in a sweep, and leaves
the quarantine in the same transaction. What does not is counted as one more attempt. A file that is gone is
left to the next sweep, which alone can tell a deleted object from a drive that is not mounted. An object
whose row is damaged goes the way of `mending.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from dualtrack.engine.authority import require_files_lead
from dualtrack.engine.drafts import draft_of_found, resident
from dualtrack.engine.listing import DirectoryReader, Found, Problem
from dualtrack.engine.mending import Mending
from dualtrack.engine.places import object_path
from dualtrack.engine.quarantine import STORE, Quarantined, all_quarantined, quarantined
from dualtrack.engine.rows import Generation, Row
from dualtrack.engine.stores.protocol import Batch, Outcome, Place, Put
from dualtrack.engine.task import Task
from dualtrack.errors import IncompleteError, RefusedError

BATCH = 256


def retry(task: Task, places: Sequence[Place] = ()) -> None:
    """Try these again, or all. `IncompleteError` names what still cannot be read."""
    require_files_lead(task, "retry")
    known = {(each.bucket, each.key): each for each in all_quarantined(task.owner)}
    for bucket, key in places:
        if (bucket, key) not in known:
            raise RefusedError(f"{bucket}/{key} is not in quarantine; nothing was changed")
    wanted = sorted(places or known)
    task.total = len(wanted)
    with task.recorded("quarantine retry", "none needed: an object stays in quarantine until it can be read"):
        _retry(task, known, wanted)


def _retry(task: Task, known: dict[Place, Quarantined], wanted: Sequence[Place]) -> None:
    reader = DirectoryReader(task.drive.path)
    mending = Mending(task, {each.meta_name: each for each in known.values()})
    for start in range(0, len(wanted), BATCH):
        task.checkpoint()
        group = wanted[start : start + BATCH]
        damaged = [place for place in group if known[place].reason == STORE]
        damaged += _try(task, reader, known, [place for place in group if place not in damaged])
        mending.mend(damaged)
        task.committed = task.counts["mended"]
    if left := len(wanted) - task.counts["mended"]:
        raise IncompleteError(
            f"{left} of {len(wanted)} objects still cannot be read: {'; '.join(task.names[:3])}; mend their "
            "files, or accept each with quarantine waive"
        )


def _try(
    task: Task, reader: DirectoryReader, known: dict[Place, Quarantined], places: Sequence[Place]
) -> list[Place]:
    """Those of them whose row turns out to be damaged are left to whoever mends rows."""
    generation = task.owner.next_generation()
    puts: list[Put] = []
    meta: dict[str, bytes | None] = {}
    tried: list[bool] = []
    dirty = task.owner.dirty(places)
    for place in places:
        task.scanned += 1
        before = known[place]
        if place in dirty:
            task.counts["dirty"] += 1
            task.name(f"{before.name}: is being written; try again")
            continue
        found = reader.read(object_path(*place))
        if found is None:
            task.counts["gone"] += 1
            task.name(f"{before.name}: has no file any more; run migrate")
            continue
        put, mended = _put(task, generation, found, before, meta)
        if put is not None:
            puts.append(put)
            tried.append(mended)
    if task.dry_run or not puts:
        task.counts["mended"] += sum(tried) if task.dry_run else 0
        return []
    # A key that became dirty just now keeps its old row; its server's drain reads the file again.
    outcomes = task.owner.commit(Batch(task.fence, tuple(puts), meta)).outcomes
    left = [outcome is Outcome.DAMAGED for outcome in outcomes]
    task.counts["mended"] += sum(done and not lost for done, lost in zip(tried, left, strict=True))
    return [(put.row.bucket, put.row.key) for put, lost in zip(puts, left, strict=True) if lost]


def _put(
    task: Task,
    generation: Generation,
    found: Found | Problem,
    before: Quarantined,
    meta: dict[str, bytes | None],
) -> tuple[Put | None, bool]:
    if isinstance(found, Problem) and found.transient:
        task.counts["unread"] += 1
        task.name(f"{before.name}: {found.message}")
        return None, False
    draft = draft_of_found(found) if isinstance(found, Found) else found
    if isinstance(draft, Problem):
        readable = found if isinstance(found, Found) else None
        record = quarantined(draft, readable.data if readable else b"", task.now()).after(before)
        meta[before.meta_name] = record.pack()
        task.name(f"{before.name}: {record.reason}")
        return Put(Row.of(before.bucket, before.key, generation, resident(readable)), versions=0), False
    meta[before.meta_name] = None
    return Put(
        Row.of(before.bucket, before.key, generation, draft), draft.summary, versions=draft.versions
    ), True
