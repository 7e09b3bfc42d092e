"""A small drive with a store beside it, for tests that repair it over and over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from layers import new_drive
from sweepbench import Bench

OBJECTS = 20


@pytest.fixture
def bench(drives: Callable[[str], Path], tmp_path: Path) -> Bench:
    """A copy of the drive that a MinIO filled."""
    return Bench(drives("minio-single") / "d1", tmp_path / "store")


@pytest.fixture
def small(minio_drive: Path, tmp_path: Path) -> Bench:
    """A few inline objects of a real MinIO in a bucket `bkt`, with short names."""
    bench = Bench(new_drive(tmp_path / "drive"), tmp_path / "small-store")
    inline = [
        path
        for path in sorted(minio_drive.glob("*/*/xl.meta"))
        if not path.parts[-3].startswith(".") and len(list(path.parent.iterdir())) == 1
    ]
    for number, path in enumerate(inline[:OBJECTS]):
        target = bench.file("bkt", f"{number:02d}")
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
    return bench
