"""`orphans collect`: data directories that nothing names are moved to `.dualtrack/orphans/`, a day after.

Only where rows are the truth (`KvOnly` and beyond): below that the files say what belongs together, and a
server cleans up after itself. All is judged first, without a lock, so that too many orphans, which rather
mean a store that is behind its drive, refuse the run before anything moves. Then in batches, under the locks
of the objects concerned, each is looked at and judged again, put down, and only then moved.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from dualtrack.engine import files, kept_values, renaming
from dualtrack.engine.departed import allowed_in_all as allowed
from dualtrack.engine.drive import MULTIPART_DIRECTORY
from dualtrack.engine.listing import DirectoryReader, Path
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.orphans import finding, records
from dualtrack.engine.orphans.finding import Directory, Evidence, Verdict, judge
from dualtrack.engine.orphans.records import Orphan
from dualtrack.engine.pairing import rows_of
from dualtrack.engine.places import file_exists, object_path
from dualtrack.engine.repair import records as repairs
from dualtrack.engine.repair.records import Audit
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.errors import (
    DifferenceError,
    IncompleteError,
    MarkerError,
    RefusedError,
    StoreCorruptError,
)

BATCH = 64
MOST = 10_000
"""Orphans that one run moves; the next goes on."""


def collect(task: Task, *, accept: bool = False) -> None:
    """Move them aside. `RefusedError` where there are more than `allowed`, unless `accept`."""
    require(task, "orphans collect")
    settle(task)
    collection = _Collection(task)
    found = collection.find()
    if task.counts["unread"]:
        raise IncompleteError(
            f"{task.counts['unread']} directories of {task.drive.path} could not be listed; nothing was "
            f"moved: {'; '.join(task.names[:3])}"
        )
    orphans, seen = task.counts[Verdict.ORPHAN], task.counts["directories"]
    if orphans > allowed(seen) and not accept:
        raise RefusedError(
            f"{orphans} of {seen} data directories are named by no row, more than {allowed(seen)}: nothing "
            "was moved. Is this store behind its drive (an older snapshot)? If it is right, say --accept-many"
        )
    if not found:
        return
    renaming.require_exclusive(task.drive.path, "orphans collect")
    with task.recorded("orphans collect", f"dualtrack engine orphans undo {task.run_id}"):
        for start in range(0, len(found), BATCH):
            task.checkpoint()
            if task.room() == 0:
                raise IncompleteError(f"moved {task.committed}, as many as --limit allows; run it again")
            collection.take(found[start : start + BATCH])


def require(task: Task, verb: str) -> None:
    """What must hold before anything is moved, in either direction."""
    repairs.require_free(task.owner, Audit(task.fence, task.run_id, verb, "", 0))
    if not task.client_only and not task.server_stopped:
        raise RefusedError(
            f"{verb} moves files that a running server may be using: say --server-stopped once no server "
            "runs on the drive, or --client-only where a data plane owns the store"
        )
    state = task.held_lock().state.state
    if not state.reached(MarkerState.KV_ONLY):
        raise MarkerError(
            f"the marker of {task.drive.path} is {state}: {verb} is for drives whose rows are the truth "
            f"({MarkerState.KV_ONLY} and beyond)"
        )
    info = task.owner.info()
    if int(task.owner.meta("swept_epoch") or b"-1") < info.epoch:
        raise IncompleteError(
            f"no sweep of epoch {info.epoch} has completed the store of {task.drive.path}: what it lacks may "
            "exist, and nothing was moved"
        )


def settle(task: Task) -> None:
    """Forget what an interrupted run put down and did not move."""
    gone = [
        each.meta_name
        for each in records.collected(task.owner)
        if not file_exists(os.fsencode(f"{task.drive.path}/{each.target}"))
    ]
    if gone:
        task.counts["forgotten"] += len(gone)
        task.commit(meta=dict.fromkeys(gone))


def kept_elsewhere(task: Task) -> set[Place]:
    """Objects that can be taken back: what a repair or a sweep has put aside of them may name anything."""
    try:
        return repairs.places(task.owner) | kept_values.places(task.drive.path)
    except StoreCorruptError as error:
        raise IncompleteError(
            f"a value that is kept for 30 days cannot be read ({error}), so nobody knows what it names; "
            "nothing was changed: see deleted list, and move that file away"
        ) from error


@dataclass(slots=True)
class _Collection:
    task: Task
    repaired: set[Place] = field(init=False)

    def __post_init__(self) -> None:
        self.repaired = kept_elsewhere(self.task)

    def find(self) -> list[Path]:
        task = self.task
        pending: list[Directory] = []
        found: list[Path] = []

        def settle_pending() -> None:
            for each, verdict in zip(pending, self._judge(pending), strict=True):
                task.counts[verdict] += 1
                if verdict is Verdict.ORPHAN and len(found) < MOST:
                    found.append(each.path)
                elif verdict is Verdict.UNKNOWN:
                    task.name(f"{each.relative}: a row or a file that may name it cannot be read")
            pending.clear()
            task.checkpoint()

        for directory in finding.directories(task.drive, self._failed, task.checkpoint):
            task.counts["directories"] += 1
            task.scanned += 1
            pending.append(directory)
            if len(pending) >= BATCH:
                settle_pending()
        settle_pending()
        return found

    def take(self, paths: Sequence[Path]) -> None:
        """Move those of them that are orphans still."""
        task = self.task
        looked = [found for path in paths if (found := finding.look(task.drive.path, path)) is not None]
        places = {place for each in looked for place in (each.holder, each.itself)}
        with task.owner.locked(places):
            again = [
                found for each in looked if (found := finding.look(task.drive.path, each.path)) is not None
            ]
            judged = zip(again, self._judge(again), strict=True)
            moving = [self._record(each) for each, verdict in judged if verdict is Verdict.ORPHAN]
            moving = moving[: task.room()]
            if moving:
                self._move(moving)

    def _record(self, found: Directory) -> Orphan:
        record = Orphan.of(self.task.run_id, self.task.fence, found.relative, found.inode, self.task.now())
        return replace(record, files=found.files, size=found.size)

    def _move(self, moving: list[Orphan]) -> None:
        task = self.task
        task.commit(meta={each.meta_name: each.pack() for each in moving})
        for each in moving:
            task.name(f"{each.source}: {each.files} files, {each.size} bytes")
            if not task.dry_run:
                task.owner.require_locked()
                move(task.drive.path, each.source, each.target, each.inode)
        if not task.dry_run:
            flush(task.drive.path, moving)
        task.committed += len(moving)
        task.counts["collected"] += len(moving)
        task.counts["bytes"] += sum(each.size for each in moving)
        tell(task, "orphans collect")

    def _judge(self, found: Sequence[Directory]) -> list[Verdict]:
        task = self.task
        reader = DirectoryReader(task.drive.path)
        uploads = _uploads(task.drive.path)
        holders, owns = [each.holder for each in found], [each.itself for each in found]
        dirty = task.owner.dirty([*holders, *owns])
        rows = rows_of(task.owner, [*holders, *owns])
        floor = task.owner.info().trust_floor
        now = int(task.now().timestamp() * 1e9)
        verdicts = []
        for each, row, own in zip(found, rows, rows[len(found) :], strict=False):
            both = (each.holder, each.itself)
            evidence = Evidence(
                (row, own),
                (reader.read(object_path(*each.holder)), reader.read(object_path(*each.itself))),
                not dirty.isdisjoint(both),
                not self.repaired.isdisjoint(both),
            )
            verdicts.append(judge(each, evidence, uploads, floor, now))
        return verdicts

    def _failed(self, what: str) -> None:
        self.task.counts["unread"] += 1
        self.task.name(what)


def tell(task: Task, verb: str) -> None:
    """One audit record a run, as far as it has come."""
    now = task.now().isoformat(timespec="seconds")
    audit = Audit(task.fence, task.run_id, verb, now, task.committed, "done", now)
    task.commit(meta={audit.meta_name: audit.pack()})


def move(root: str, source: str, target: str, inode: int) -> None:
    """One directory to its new place, which nothing has yet; then it must be the one that was judged."""
    files.ensure_directory(os.path.dirname(f"{root}/{target}"))
    files.rename_exclusive(f"{root}/{source}", f"{root}/{target}")
    if os.lstat(f"{root}/{target}").st_ino != inode:
        with suppress(FileExistsError):
            files.rename_exclusive(f"{root}/{target}", f"{root}/{source}")
        raise DifferenceError(
            f"{source}: another directory came into its place while it was moved; somebody else changes "
            "files on this drive: find out who, then run this again"
        )


def flush(root: str, moved: Sequence[Orphan]) -> None:
    for folder in sorted({os.path.dirname(path) for each in moved for path in (each.source, each.target)}):
        # A data plane may have removed an object directory that became empty.
        with suppress(FileNotFoundError):
            files.sync_directory(f"{root}/{folder}")


def _uploads(root: str) -> frozenset[uuid.UUID]:
    """Data directories that uploads under way will have, or have already if their completion was cut off."""
    folder = f"{root}/{MULTIPART_DIRECTORY}"
    found: set[uuid.UUID] = set()
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            try:
                data, _ = files.read_regular(f"{folder}/{name}/upload.json", 1 << 20)
                found.add(uuid.UUID(hex=json.loads(data)["data_dir"]))
            except FileNotFoundError:
                continue  # completed or aborted meanwhile, or its creation was cut off before its answer
            except (OSError, ValueError, KeyError) as error:
                raise IncompleteError(
                    f"{folder}/{name}/upload.json cannot be read ({error}), so nobody knows which data "
                    "directory is to be its; abort that upload, then run this again"
                ) from error
    return frozenset(found)
