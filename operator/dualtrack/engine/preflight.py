"""Before a sweep begins: is there room for what it will write, in named figures of needed and free.

What is there is measured; what will be needed can only be estimated (half of the file system's inodes in use
are taken for objects: each has a directory and a file). So a want of the estimate is a warning, and only what
would fail within the first batches is a refusal. The kind of file system is asked when the store is opened.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from dualtrack.engine.stores.location import Driver, Location, locate
from dualtrack.engine.task import Task
from dualtrack.errors import StoreFullError

ROW_BYTES = 1_200
"""Of an object with one inline version of a few hundred bytes: row, envelope, index entry, tree."""

LEAST_BYTES = 16 * 1024 * 1024
LEAST_INODES = 64
LEAST_DESCRIPTORS = {Driver.LMDB: 64, Driver.ROCKSDB: 640, Driver.POSTGRESQL: 64}


@dataclass(frozen=True, slots=True)
class Figures:
    """`inodes_free` is None on a file system that makes inodes as it needs them (btrfs)."""

    objects: int
    rows: int
    bytes_free: int
    inodes_free: int | None
    descriptors: int

    @property
    def bytes_needed(self) -> int:
        return max(self.objects - self.rows, 0) * ROW_BYTES


def shortages(figures: Figures, driver: Driver) -> list[str]:
    """What is too little to begin with."""
    found: list[str] = []
    if driver is not Driver.POSTGRESQL and figures.bytes_free < LEAST_BYTES:
        found.append(f"{figures.bytes_free} bytes are free and {LEAST_BYTES} the least to begin with")
    if figures.inodes_free is not None and figures.inodes_free < LEAST_INODES:
        found.append(f"{figures.inodes_free} inodes are free and {LEAST_INODES} the least to begin with")
    if figures.descriptors < LEAST_DESCRIPTORS[driver]:
        found.append(
            f"{figures.descriptors} files may be open and {driver} needs {LEAST_DESCRIPTORS[driver]} "
            "(ulimit -n)"
        )
    return found


def warning(figures: Figures, driver: Driver) -> str:
    """What may run out on the way; empty if nothing."""
    if driver is Driver.POSTGRESQL or figures.bytes_needed <= figures.bytes_free:
        return ""
    return (
        f"about {figures.objects} objects need {figures.bytes_needed} bytes of store and "
        f"{figures.bytes_free} are free: the sweep stops, with all that it wrote kept, if they run out"
    )


def check(task: Task) -> None:
    """`StoreFullError` where the sweep cannot even begin; otherwise the figures go into the result."""
    location = locate(task.store_dir, task.drive.path)
    figures = _measure(task, location)
    task.notes["preflight"] = {"bytesNeeded": figures.bytes_needed, "bytesFree": figures.bytes_free}
    if found := shortages(figures, location.driver):
        raise StoreFullError(f"{task.store_dir}: {'; '.join(found)}; nothing was written: make room first")
    if told := warning(figures, location.driver):
        task.warn(f"{task.store_dir}: {told}")


def _measure(task: Task, location: Location) -> Figures:
    drive = os.statvfs(task.drive.path)
    store = os.statvfs(location.directory) if os.path.isdir(location.directory) else drive
    return Figures(
        objects=(drive.f_files - drive.f_ffree) // 2,
        rows=sum(task.owner.stats().objects.values()),
        bytes_free=store.f_bavail * store.f_frsize,
        inodes_free=store.f_favail if store.f_files else None,
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )
