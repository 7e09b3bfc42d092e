"""A drive at `KvOnly` whose store has a row log beside it, rows to write, and what a store holds.

As a program it commits until it is killed: one line on its output for each commit, once it was acknowledged.

    logged.py DRIVE START [COUNT]
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualtrack.cli.main import main as cli
from dualtrack.engine.drive import Drive
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rowlog.segments import Segment, segments
from dualtrack.engine.rows import Row
from dualtrack.engine.snapshot import snapshot
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.summary import summary
from dualtrack.engine.task import Task
from layers import MAP_SIZE, Body, new_drive, opened, sweep

KEYS = 40
LONG = "long/" * 120
"""Longer than LMDB's keys."""


@dataclass(frozen=True, slots=True)
class Place:
    drive: Path

    @property
    def store(self) -> Path:
        return self.drive / ".dualtrack" / "store"

    @property
    def log(self) -> Path:
        return self.drive.parent / "log"

    @property
    def copy(self) -> Path:
        return self.drive.parent / "copy"

    @property
    def drive_id(self) -> str:
        return Drive.open(str(self.drive)).drive_id

    @property
    def folder(self) -> Path:
        return self.log / self.drive_id

    def segments(self) -> list[Segment]:
        return segments(str(self.folder))

    @contextmanager
    def owner(self, **settings: Any) -> Iterator[Owner]:
        owner = self.open(**settings)
        try:
            yield owner
        finally:
            owner.close()

    def open(self, **settings: Any) -> Owner:
        wanted = {"drive_id": self.drive_id, "map_size": MAP_SIZE, **settings}
        return Owner.open(str(self.drive), str(self.store), OwnerSettings(**wanted))

    def snapshot(self, owner: Owner) -> Task:
        fence = max(owner.begin("snapshot", 0), known_fence(str(self.drive)) + 1)
        owner.begin("snapshot", fence)
        with DriveLock.acquire(str(self.drive), fence, "snapshot") as lock:
            task = Task(Drive.open(str(self.drive)), str(self.store), owner, fence, "snapshot", lock=lock)
            snapshot(task, str(self.copy))
        return task

    def restore(self, *more: str) -> int:
        where = ["--drive", str(self.drive), "--store", str(self.store), "--snapshot", str(self.copy)]
        return cli(["engine", "restore-store", *where, *more])

    def restore_with_log(self, *more: str) -> int:
        return self.restore("--row-log", str(self.log), *more)

    def held(self) -> tuple[dict[tuple[str, str], Row], dict[str, bytes]]:
        """Rows and meta values of the store at rest, but for what openings change."""
        with closing(LmdbStore.open(str(self.store), map_size=MAP_SIZE)) as store:
            store.digest()
            rows = {(row.bucket, row.key): row for row in store.scan(None, 10_000)}
            meta = {name: value for name, value in store.scrub_meta() if value is not None}
        # How often entries were added is a copy's own count; how many there are is not.
        meta["entries"] = json.dumps(json.loads(meta["entries"])[:2]).encode()
        return rows, {name: value for name, value in meta.items() if not name.startswith(("rowlog", "term"))}


def started(path: Path, *, flush_seconds: int = 0) -> Place:
    """A new drive in `path` with a few objects written in `kv_only`, and a log that has just begun."""
    place = Place(new_drive(path / "drive"))
    with opened(place.drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        sweep(layer)
    with opened(place.drive, "kv_only") as layer:
        for number in range(3):
            layer.put("bucket", f"seed{number}", Body(b"x" * (number + 1)), Attributes())
    place.log.mkdir()
    with place.owner() as owner:
        owner.log.start(str(place.log), flush_seconds, accept_same_device=True)
    return place


def gone_on(path: Path) -> Place:
    """As `started`, with a snapshot between two writes: only snapshot and log together have both."""
    place = started(path)
    with place.owner() as owner:
        write(owner, 1)
        place.snapshot(owner)
        write(owner, 2)
    return place


def put_of(owner: Owner, number: int) -> Put:
    """What the write with this number writes: it follows from the number, but for its generation."""
    template = owner.get("bucket", f"seed{number % 3}")
    assert template is not None
    name = f"k{number % KEYS}"
    key = LONG + name if number % 7 == 0 else name
    if number % 5 == 4:
        return Put(Row.tombstone("bucket", key, owner.next_generation()), expect="any")
    row = replace(template, key=key, generation=owner.next_generation(), mtime_ns=number)
    return Put(row, summary(xlmeta.decode(row.data)).pack(), "any", 1)


def write(owner: Owner, number: int) -> None:
    owner.commit(Batch(puts=(put_of(owner, number),), meta={f"note/{number % 3}": str(number).encode()}))


def numbers(rows: dict[tuple[str, str], Row]) -> set[int]:
    """Numbers of the writes whose rows are there."""
    mine = {row for (bucket, key), row in rows.items() if bucket == "bucket" and not key.startswith("seed")}
    return {row.mtime_ns for row in mine if row.present}


def lose(place: Place) -> None:
    """The disk of the store dies; the drive's other files stay."""
    shutil.rmtree(place.store)


def lost_and_restored(place: Place) -> set[int]:
    """The store as the kill left it, opened again, and the one that snapshot and log give: the same."""
    aside = place.drive.parent / "aside"
    shutil.copytree(place.store, aside)
    lose(place)
    assert place.restore_with_log() == 0
    restored = place.held()
    lose(place)
    shutil.copytree(aside, place.store)
    shutil.rmtree(aside)
    with place.owner():
        pass  # brings it to the end of its log
    assert place.held() == restored
    return numbers(restored[0])


def main(drive: str, start: int, count: int) -> None:
    """Commit that many rows, or without end for 0. Every fourth begins a segment of the log."""
    with Place(Path(drive)).owner() as owner:
        number = start
        while not count or number < start + count:
            if number % 4 == 3:
                owner.log.rotate()
            write(owner, number)
            print(number, flush=True)
            number += 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
