"""A copy of the drive that a MinIO filled, for the sweep and its verification.

It lies in memory where that can hold files: a sweep reads, and takes tmpfs as it takes ext4, link counts of
directories included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory import in_memory
from sweepbench import Bench


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    with in_memory(tmp_path) as folder:
        yield folder


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
