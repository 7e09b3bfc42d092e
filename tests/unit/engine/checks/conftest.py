"""A small drive with a store beside it, and one of its objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from smalldrive import BUCKET, small_bench
from sweepbench import Bench


@pytest.fixture
def bench(minio_drive: Path, tmp_path: Path) -> Bench:
    return small_bench(minio_drive, tmp_path, 48)


@pytest.fixture
def some() -> tuple[str, str]:
    return BUCKET, "07"
