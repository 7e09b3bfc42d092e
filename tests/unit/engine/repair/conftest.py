"""A small drive with a store beside it, for tests that repair it over and over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smalldrive import small_bench
from sweepbench import Bench


@pytest.fixture
def bench(drives: Callable[[str], Path], tmp_path: Path) -> Bench:
    """A copy of the drive that a MinIO filled."""
    return Bench(drives("minio-single") / "d1", tmp_path / "store")


@pytest.fixture
def small(minio_drive: Path, tmp_path: Path) -> Bench:
    return small_bench(minio_drive, tmp_path, 20)
