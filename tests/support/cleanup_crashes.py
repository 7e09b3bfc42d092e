"""One whole way of a drive, recorded: hold → purge → directories → restore, and what must hold after a crash.

`recorded` runs the real verbs on a small drive and gives the log; `violations` says of one state that a power
cut left what is wrong with it. The rules are about what somebody finds who comes next: every file whole where
it is promised, nothing gone before its record, no server let in too early.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from crashsim import Log, Recorder, State, Tree
from dualtrack.engine import auditlog, lock, marker, naming, put_back, restore, restoring, snapshot
from dualtrack.engine.cleanup import directories, hold, identity, purge, records
from dualtrack.engine.cleanup.records import HeldFile
from dualtrack.engine.drive import HELD_FORMAT, ORIGINAL_FORMAT
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.owner import Owner
from dualtrack.engine.rows import NO_FILE, Row, RowOrigin, is_system
from dualtrack.engine.stores.protocol import Batch, BatchResult, Outcome, Place, Put

FORMAT = ".minio.sys/format.json"
MARKER = ".dualtrack/marker.json"
AUDIT = ".dualtrack/audit.jsonl"
UNDO = ".dualtrack/undo/"
MODULES = (lock, put_back, restore, restoring, identity)


@dataclass(frozen=True, slots=True)
class Store:
    """What the store says durably: its meta values, and the places whose rows a file backs again. `file` is
    the store itself.
    """

    meta: Mapping[str, bytes]
    settled: frozenset[Place]
    file: bytes = b""


@dataclass(frozen=True, slots=True)
class Step:
    """A verb that has begun, or has ended well."""

    verb: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Way:
    """`files` and `folders` are what lay on the drive before; `restored` what a restore has to leave."""

    log: Log
    files: dict[str, bytes]
    folders: frozenset[str]
    restored: dict[str, bytes]
    places: dict[str, Place]


def recorded(bench: Any, copy: Path, *, batch: int = 3, undo: bool = False) -> Way:
    """Run the whole way on the drive of `bench`. `undo`: only the restore, over files older than rows."""
    recorder = Recorder(str(bench.drive), str(bench.store))
    with bench.task() as task:
        rows = [row for row in task.owner.scan(None, 10_000) if not is_system(row.bucket)]
        meta = dict(task.owner.meta_scan("", None, 10_000))
    settled: set[Place] = set()
    commit = Owner.commit

    def committing(owner: Owner, changes: Batch) -> BatchResult:
        result = commit(owner, changes)
        for name, value in changes.meta.items():
            meta.pop(name, None) if value is None else meta.update({name: value})
        if changes.cursor:
            meta["cursor/" + changes.cursor[0]] = changes.cursor[1]
        for put, outcome in zip(changes.puts, result.outcomes, strict=True):
            if outcome is Outcome.APPLIED:
                settled.add((put.row.bucket, put.row.key))
        recorder.mark(Store(dict(meta), frozenset(settled), (bench.store / "data.mdb").read_bytes()))
        return result

    def step(verb: str, work: Callable[[Any], object]) -> None:
        recorder.mark(Step(verb, False))
        bench.run(work)
        recorder.mark(Step(verb, True))

    recorder.mark(Store(dict(meta), frozenset(), (bench.store / "data.mdb").read_bytes()))
    before = tree_of(recorder.log())
    with (
        patch.object(hold, "BATCH", batch),
        patch.object(restore, "BATCH", batch),
        patch.object(Owner, "commit", committing),
        recorder.watching(*MODULES),
    ):
        if not undo:
            step("hold", hold.hold)
            bench.run(lambda task: snapshot.snapshot(task, str(copy)))
            step("purge", lambda task: purge.purge(task, str(copy), same_device=True))
            step("directories", directories.remove_directories)
        step("restore", restore.restore)
    places = {naming.meta_path(row.bucket, row.key): (row.bucket, row.key) for row in rows}
    files_before = {path: data for path, data in before.items() if data is not None and path in places}
    return Way(
        recorder.log(),
        files_before,
        frozenset(path for path, data in before.items() if data is None and not path.startswith(".")),
        {path: row.data for path, row in zip(places, rows, strict=True) if row.present},
        places,
    )


def tree_of(log: Log) -> Tree:
    """The drive before the first operation."""
    return log.crash(0, random.Random(0)).tree


def violations(way: Way, state: State) -> list[str]:
    """What is wrong with what the power cut left; empty if nothing is."""
    seen = _Seen(way, state)
    try:
        return [
            *seen.identity(),
            *seen.held_files(),
            *seen.purged(),
            *seen.folders(),
            *seen.restored(),
            *seen.audited(),
        ]
    except ValueError as error:
        return [f"torn: {error}"]


class _Seen:
    def __init__(self, way: Way, state: State) -> None:
        self.way, self.state, self.tree = way, state, state.tree
        self.store = next(mark for mark in reversed(state.marks) if isinstance(mark, Store))
        steps = [mark for mark in state.marks if isinstance(mark, Step)]
        self.begun = {step.verb for step in steps}
        self.ended = {step.verb for step in steps if step.ended}
        meta = self.store.meta
        self.batches = [
            records.unpack_batch(value)
            for name, value in sorted(meta.items())
            if name.startswith(records.HELD)
        ]
        pending = meta.get(records.PENDING)
        self.pending = records.unpack_batch(pending) if pending else []

    @property
    def marked(self) -> MarkerState:
        data = self.tree.get(MARKER)
        return MarkerState(json.loads(data)["state"]) if data is not None else MarkerState.FS_AUTHORITATIVE

    @property
    def refused_by_servers(self) -> bool:
        data = self.tree.get(FORMAT)
        if data is None:
            raise ValueError("format.json is gone")
        return bool(json.loads(data)["format"] == HELD_FORMAT)

    def identity(self) -> Iterator[str]:
        original = tree_of(self.way.log)[FORMAT]
        aside = self.tree.get(ORIGINAL_FORMAT)
        if self.refused_by_servers:
            if "format/.minio.sys" not in self.store.meta:
                yield "format.json is held and the store does not know the original"
            if aside != original:
                yield "format.json is held and its copy is not there"
        elif self.tree[FORMAT] != original:
            yield "format.json is neither held nor the original"
        # The restore over older files runs on a drive that was never held.
        if not self.refused_by_servers and ("hold" in self.begun or not self.begun):
            for path, data in (self.way.restored if "restore" in self.begun else self.way.files).items():
                if self.tree.get(path) != data:
                    yield f"a server could start, and {path} is not what it was"

    def held_files(self) -> Iterator[str]:
        if "restore" in self.begun:
            return
        moved = {held.source for batch in self.batches for held in batch}
        if "hold" in self.ended and moved != set(self.way.files):
            yield "the hold has ended, and not every file is on record as held"
        for held in (held for batch in self.batches for held in batch):
            yield from self._held(held)
        pending = {held.source: held.target for held in self.pending}
        for path in self.way.files.keys() - moved:
            places = [self.tree.get(path), self.tree.get(pending.get(path, ""))]
            if self.way.files[path] not in places:
                yield f"{path} is neither at its place nor moved aside"

    def _held(self, held: HeldFile) -> Iterator[str]:
        if held.source in self.tree:
            yield f"{held.source} is on record as held, and is back"
        if (
            self.marked is not MarkerState.PURGED
            and self.tree.get(held.target) != self.way.files[held.source]
        ):
            yield f"{held.target} is gone before the marker said that it may"

    def purged(self) -> Iterator[str]:
        after = self.store.meta.get("cursor/" + purge.CURSOR, b"").decode()
        names = sorted(name for name in self.store.meta if name.startswith(records.HELD))
        for name, batch in zip(names, self.batches, strict=True):
            if name <= after or "purge" in self.ended:
                yield from (
                    f"{held.target} was purged, and is back" for held in batch if held.target in self.tree
                )
        if "purge" in self.ended and self.marked is MarkerState.KV_ONLY:
            yield "the purge has ended, and the marker does not say so"

    def folders(self) -> Iterator[str]:
        if "restore" in self.begun:
            return
        for path in self.way.folders:
            if path not in self.tree and records.directory_name(path) not in self.store.meta:
                yield f"{path} was removed without a record"
            is_own = path in {held.directory for batch in self.batches for held in batch}
            has_parts = any(each.startswith(path + "/") for each in self.tree)
            if "directories" in self.ended and is_own and path in self.tree and not has_parts:
                yield f"{path} was removed, and is back"

    def audited(self) -> Iterator[str]:
        """Whatever was changed was announced, and whatever has ended was put down as ended."""
        lines = auditlog.parse(self.tree.get(AUDIT) or b"")
        if faults := auditlog.faults(lines):
            yield f"the audit is broken: {faults[0]}"
        begun = [line for line in lines if line.event == auditlog.BEGUN and line.fields]
        told = {line.fields["verb"] for line in begun if line.fields}
        held = [each for batch in self.batches for each in batch]
        changed = {
            "move marker": "hold" in self.begun and self.marked is not MarkerState.FS_AUTHORITATIVE,
            "hold format.json": self.refused_by_servers,
            "cleanup hold": bool(held or self.pending),
            "cleanup purge": any(each.target not in self.tree for each in held),
            "cleanup directories": bool(self.way.folders - self.tree.keys()),
            "restore": any(path.startswith(UNDO) for path in self.tree),
        }
        for verb, done in changed.items():
            if done and verb not in told:
                yield f"{verb} has changed something, and the audit does not know of it"
        open_steps = {line.fields["verb"] for line in auditlog.unfinished(lines) if line.fields}
        for verb in ("hold", "purge", "directories"):
            name = f"cleanup {verb}"
            if verb in self.ended and (name in open_steps or name not in told):
                yield f"{name} has ended, and the audit does not know of it"

    def restored(self) -> Iterator[str]:
        if "restore" not in self.begun:
            return
        whole = {path: self.tree.get(path) == data for path, data in self.way.restored.items()}
        for path, place in self.way.places.items():
            found = self.tree.get(path)
            old = self.way.files.get(path)
            if path in self.tree and found not in (old, self.way.restored.get(path)):
                yield f"{path} is torn"
            if place in self.store.settled and found != self.way.restored.get(path):
                yield f"the store says that {path} backs its row, and it does not"
            if found != old and old != self.way.restored.get(path) and "hold" not in self.begun:
                kept = [data for each, data in self.tree.items() if each.startswith(UNDO)]
                if old not in kept:
                    yield f"what {path} was is gone, and undo has not got it"
        if self.marked is MarkerState.FS_AUTHORITATIVE and not all(whole.values()):
            yield "the marker says that files are the truth, and they are not all there"
        if "restore" in self.ended:
            yield from self._ended()

    def _ended(self) -> Iterator[str]:
        if self.marked is not MarkerState.FS_AUTHORITATIVE:
            yield "the restore has ended, and the marker does not say so"
        if self.refused_by_servers:
            yield "the restore has ended, and servers refuse the drive"
        if ORIGINAL_FORMAT in self.tree:
            yield "the restore has ended, and the copy of format.json is back"
        expected = final_times(self.way)
        late = [path for path, time in expected.items() if self.state.times.get(path) != time]
        if late:
            yield f"the restore has ended, and the time of {late[0]} is not durable"


class _Keeper(random.Random):
    """Loses nothing."""

    def random(self) -> float:
        return 1.0


def final_times(way: Way) -> dict[str, int]:
    """The times that the restore set, as they are if nothing is lost."""
    return way.log.crash(len(way.log.ops), _Keeper()).times


def overwritten_in_kv_only(bench: Any) -> None:
    """Four objects get a row of another content, one is deleted; all files stay as they were."""
    with bench.task() as task:
        info = task.owner.info()
        rows = [row for row in task.owner.scan(None, 1000) if not is_system(row.bucket)]
        puts = [
            Put(
                replace(
                    row,
                    generation=task.owner.next_generation(),
                    origin=RowOrigin.KV,
                    fingerprint=NO_FILE,
                    mtime_ns=time.time_ns(),
                    data=other.data,
                ),
                b"",
                "any",
                1,
            )
            for row, other in zip(rows[:4], rows[4:8], strict=True)
        ]
        gone = Row.tombstone(rows[8].bucket, rows[8].key, task.owner.next_generation(), RowOrigin.KV)
        task.owner.commit(Batch(puts=(*puts, Put(gone, b"", "any", 0))))
    state = Marker(MarkerState.KV_ONLY, info.store_uuid, 0, "", "2026-11-23T00:00:00Z")
    marker.write(str(bench.drive), state)
