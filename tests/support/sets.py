"""A set of drives on its way through the verbs, as a person would type them, and what must be left of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from dualtrack.cli.main import main

State = dict[str, tuple[object, ...]]


def engine(verb: str, drives: Sequence[Path], *options: str) -> int:
    """Run one verb on all drives at once; gives its exit code."""
    named = [word for drive in drives for word in ("--drive", str(drive))]
    return main(["engine", *verb.split(), *named, *options])


def metas(drives: Sequence[Path]) -> list[Path]:
    """Every object's metadata file below the buckets of these drives."""
    names = ("xl.meta", "xl.json")
    return [
        path
        for drive in drives
        for bucket in sorted(drive.iterdir())
        if not bucket.name.startswith(".")
        for path in bucket.rglob("*")
        if path.name in names and path.is_file()
    ]


def state(drive: Path) -> State:
    """Everything on a drive but our own folder: kind, mode, owner, time, and the bytes of each file.

    Of the root itself the time is left out: a folder was made in it.
    """
    found: State = {}
    for folder, folders, names in os.walk(drive):
        if folder == str(drive):
            folders[:] = [name for name in folders if name != ".dualtrack"]
        for name in (*folders, *names):
            path = Path(folder, name)
            status = path.lstat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path.relative_to(drive))] = (
                status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, digest,
            )  # fmt: skip
    return found
