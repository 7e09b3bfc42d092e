"""A copy of the drive that a MinIO filled, for the sweep and its verification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweepbench import Bench


@pytest.fixture
def bench(drives: Callable[[str], Path], tmp_path: Path) -> Bench:
    """A copy of the drive that a MinIO filled."""
    return Bench(drives("minio-single") / "d1", tmp_path / "store")


@pytest.fixture
def some(bench: Bench) -> tuple[str, str]:
    """An object that has a directory of its own and nothing below it."""
    for path in sorted(bench.drive.glob("*/*/xl.meta")):
        if not path.parent.parent.name.startswith(".") and len(list(path.parent.iterdir())) == 1:
            return path.parent.parent.name, path.parent.name
    raise AssertionError("the drive has no such object")
