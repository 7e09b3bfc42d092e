"""A new drive and a layer on it. They lie in memory where it can hold files: what these tests ask does not
depend on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.engine.objects.layer import ObjectLayer
from layers import new_drive, opened
from memory import in_memory


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    with in_memory(tmp_path) as folder:
        yield folder


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return new_drive(tmp_path / "drive")


@pytest.fixture
def layer(drive: Path) -> Iterator[ObjectLayer]:
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("bucket")
        yield layer
