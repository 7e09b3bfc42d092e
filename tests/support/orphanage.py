"""A drive in `kv_only` for the tests of orphans, and what a write that was cut off leaves on it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from dualtrack.engine.listing import data_directories
from dualtrack.engine.objects.errors import NoSuchKey
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.orphans import collecting
from layers import Body, new_drive, opened, orphans_task, sweep

DAY = 24.1
"""Hours."""
LARGE = 200_000


def orphanage(path: Path) -> Path:
    """A drive whose two objects, one below the other, have data directories and no `xl.meta` any more."""
    drive = new_drive(path)
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        for key in ("large", "large/below"):
            put(layer, key, b"1")
        layer.drain()
        sweep(layer)
    for path in (drive / "bucket").rglob("xl.meta"):
        path.unlink()
    return drive


def put(layer: ObjectLayer, key: str, letter: bytes) -> None:
    layer.put("bucket", key, Body(letter * LARGE), Attributes())


def content(layer: ObjectLayer, key: str) -> bytes | None:
    try:
        return b"".join(layer.read("bucket", key)[1])[:1]
    except NoSuchKey:
        return None


def tree(drive: Path) -> dict[str, int]:
    """The data directories below the bucket, with their inodes."""
    return {
        str(path.relative_to(drive)): path.stat().st_ino
        for path in (drive / "bucket").rglob("*-*-*-*-*")
        if path.is_dir() and any(path.glob("part.*"))
    }


def named(layer: ObjectLayer) -> set[str]:
    owner = layer.opened.owner
    assert owner is not None
    return {
        f"{row.bucket}/{row.key}/{os.fsdecode(name)}"
        for row in owner.scan(None, 1_000)
        if row.bucket == "bucket"
        for name in data_directories(row.data or b"")
    }


def collect(layer: ObjectLayer, hours: float = DAY, **changes: object) -> tuple[int, str]:
    with orphans_task(layer, hours, **changes) as task:
        collecting.collect(task)
        return task.counts["collected"], task.run_id


def plant(drive: Path, key: str = "large") -> str:
    """What a write leaves that was cut off between its rename and its commit."""
    place = f"bucket/{key}/{uuid.uuid4()}"
    (drive / place).mkdir(parents=True)
    (drive / place / "part.1").write_bytes(b"lost")
    return place
