"""What becomes of collected orphans: given back by their run's id, or removed once nobody missed them.

Before either the objects concerned are locked and asked again. A purge removes only what has lain aside for a
week and what no row or file names by now; an older row that somebody has brought back may name it again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from dualtrack.engine import auditlog, files, naming, witness
from dualtrack.engine.listing import DirectoryReader
from dualtrack.engine.orphans import finding, records
from dualtrack.engine.orphans.collecting import BATCH, flush, kept_elsewhere, move, require, settle, tell
from dualtrack.engine.orphans.finding import Directory, Evidence, Verdict
from dualtrack.engine.orphans.records import Orphan
from dualtrack.engine.pairing import rows_of
from dualtrack.engine.places import object_path
from dualtrack.engine.rows import ZERO
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError, UsageError

KEPT_SECONDS = 7 * 24 * 3600


def tell_all(task: Task) -> None:
    """`orphans list`: what lies aside, by name."""
    for each in records.collected(task.owner):
        task.scanned += 1
        task.counts["orphans"] += 1
        task.counts["bytes"] += each.size
        print(f"{each.collected}  {each.run_id}  {each.size:>12}  {each.source}")


def undo(task: Task, run_id: str) -> None:
    """Give back what a run moved. `DifferenceError` names what stays, because its place is taken."""
    require(task, "orphans undo")
    settle(task)
    wanted = [each for each in records.collected(task.owner) if each.run_id == run_id]
    if not wanted:
        raise UsageError(f"nothing that the run {run_id} collected lies aside; see orphans list")
    with task.recorded("orphans undo", "dualtrack engine orphans collect", undone=run_id):
        for start in range(0, len(wanted), BATCH):
            task.checkpoint()
            _give_back(task, wanted[start : start + BATCH])
    _raise_left(task, "were left where they are")


def purge(task: Task) -> None:
    """Remove what has lain aside for `KEPT_SECONDS`. `DifferenceError` names what is wanted again."""
    require(task, "orphans purge")
    settle(task)
    now = task.now()
    old = [each for each in records.collected(task.owner) if each.age_seconds(now) >= KEPT_SECONDS]
    lines = auditlog.look(task.drive.path)[0] if old else []
    seen = {fence: witness.passed(lines, fence, now) for fence in {each.fence for each in old}}
    due = [each for each in old if seen[each.fence].total_seconds() >= KEPT_SECONDS]
    if waiting := len(old) - len(due):
        task.counts["unwitnessed"] = waiting
        task.warn(
            f"{waiting} lie aside for a week by the clock alone, and stay until the drive's audit has seen "
            "as many days"
        )
    if old:
        # Also where none is due: the entry is what the days are counted by.
        with task.recorded("orphans purge", "none: nothing has named them for a week"):
            _remove_due(task, due)
    _raise_left(task, "may be wanted again and were kept (orphans undo gives them back)")


def _remove_due(task: Task, due: Sequence[Orphan]) -> None:
    kept = kept_elsewhere(task)
    for start in range(0, len(due), BATCH):
        task.checkpoint()
        if task.room() == 0:
            raise IncompleteError(f"removed {task.committed}, as many as --limit allows; run it again")
        _purge(task, due[start : start + BATCH], kept)


def _give_back(task: Task, group: Sequence[Orphan]) -> None:
    root = task.drive.path
    given: list[Orphan] = []
    with task.owner.locked({_directory(each).holder for each in group}):
        for each in group:
            if why := _taken(root, each.source):
                task.counts["left"] += 1
                task.name(f"{each.source}: {why}")
                continue
            given.append(each)
            if not task.dry_run:
                task.owner.require_locked()
                move(root, each.target, each.source, each.inode)
        if not task.dry_run:
            flush(root, given)
        _done(task, given, "orphans undo")


def _taken(root: str, source: str) -> str:
    """Why a directory cannot go back to where it lay; empty if it can."""
    if os.path.lexists(f"{root}/{source}"):
        return "something else lies there now"
    return "" if os.path.isdir(f"{root}/{source.partition('/')[0]}") else "its bucket is gone"


def _purge(task: Task, group: Sequence[Orphan], kept: set[Place]) -> None:
    root = task.drive.path
    removed: list[Orphan] = []
    with task.owner.locked({_directory(each).holder for each in group}):
        for each, verdict in zip(group, _judge(task, group, kept), strict=True):
            if verdict in (Verdict.NAMED, Verdict.UNKNOWN, Verdict.REPAIRED):
                task.counts["left"] += 1
                task.name(f"{each.source}: {verdict}")
                continue
            if task.room() is not None and len(removed) >= (task.room() or 0):
                break
            removed.append(each)
            if not task.dry_run:
                task.owner.require_locked()
                _remove(f"{root}/{each.target}")
        _done(task, removed, "orphans purge")


def _judge(task: Task, group: Sequence[Orphan], kept: set[Place]) -> list[Verdict]:
    """As when they were collected, but for their age; a row of the very key has no say in what lies aside."""
    holders = [_directory(each).holder for each in group]
    reader = DirectoryReader(task.drive.path)
    verdicts = []
    for each, holder, row in zip(group, holders, rows_of(task.owner, holders), strict=True):
        file = reader.read(object_path(*holder))
        evidence = Evidence((row, None), (file, None), dirty=False, repaired=holder in kept)
        verdicts.append(finding.judge(_directory(each), evidence, frozenset(), ZERO, 1 << 63))
    return verdicts


def _directory(orphan: Orphan) -> Directory:
    path = tuple(naming.raw(orphan.source).split(b"/"))
    return Directory(path, orphan.inode, orphan.files, orphan.size, 0)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        for name in os.listdir(path):
            files.unlink(f"{path}/{name}", missing_ok=True)
        files.remove_directory(path)


def _done(task: Task, done: Sequence[Orphan], verb: str) -> None:
    task.committed += len(done)
    task.counts[verb.split()[1]] += len(done)
    task.commit(meta={each.meta_name: None for each in done})
    if done:
        tell(task, verb)


def _raise_left(task: Task, what: str) -> None:
    if left := task.counts["left"]:
        raise DifferenceError(f"{left} data directories {what}: {'; '.join(task.names[:3])}")
