"""Whether hold can move this drive's files at all, asked before `format.json` is held and the marker raised.

A hold is a rename that never replaces anything, so it needs a file system that knows one, and every bucket on
the file system and the mount of `.dualtrack/hold`. Where that is not so, a link and an unlink could stand in
for a rename, and a copy for a move across mounts; but what a server writes between the two would go with the
unlink, so the drive is refused in place of that. A dry run asks, too, with files that are gone when it ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from dualtrack.engine import devices, renaming
from dualtrack.engine.drive import HOLD_DIRECTORY, SYSTEM_VOLUMES
from dualtrack.engine.marker import CONTROL
from dualtrack.engine.places import file_exists
from dualtrack.engine.task import Task
from dualtrack.errors import RefusedError


def require(task: Task) -> None:
    """`RefusedError` names what lies apart, or says what the file system cannot do."""
    renaming.require_exclusive(task.drive.path, "cleanup hold")
    if apart := _apart(task):
        raise RefusedError(
            f"{', '.join(apart[:3])}{' and others' if apart[3:] else ''} of {task.drive.path}: on another "
            f"file system or mount than {HOLD_DIRECTORY}, to which cleanup hold moves by rename alone; "
            "nothing was changed: make each a plain directory of the drive, with its files in it, then "
            "migrate, verify and run this again"
        )


def _apart(task: Task) -> list[str]:
    """What no file can be renamed to or from, by its path below the drive."""
    root = task.drive.path
    hold = f"{root}/{HOLD_DIRECTORY}"
    device = os.stat(hold if file_exists(os.fsencode(hold)) else f"{root}/{CONTROL}").st_dev
    # Both are asked: a subvolume is no mount, and a directory bound to its place is on no other device.
    return sorted({*_on_another_device(task, device), *_mounted_below(root)})


def _on_another_device(task: Task, device: int) -> Iterator[str]:
    for name in task.drive.buckets():
        with suppress(FileNotFoundError):  # deleted meanwhile
            if os.lstat(f"{task.drive.path}/{name}").st_dev != device:
                yield name


def _mounted_below(root: str) -> list[str]:
    """Mounts that part files from the hold. A server's volume is never held; the store may lie anywhere."""
    real = os.path.realpath(root)
    below = [place[len(real) + 1 :] for place, _ in devices.mounts() if place.startswith(f"{real}/")]
    return [path for path in below if not _is_aside(path)]


def _is_aside(path: str) -> bool:
    first = path.split("/")[0]
    if first == CONTROL:
        return path != CONTROL and path != HOLD_DIRECTORY and not path.startswith(f"{HOLD_DIRECTORY}/")
    return first in SYSTEM_VOLUMES
