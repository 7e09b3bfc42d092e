"""A small drive with a store beside it, one of its objects, and a migrated store's owner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.engine import confirming
from dualtrack.engine.owner import Owner
from smalldrive import BUCKET, small_bench
from sweepbench import Bench


@pytest.fixture
def bench(minio_drive: Path, tmp_path: Path) -> Bench:
    return small_bench(minio_drive, tmp_path, 48)


@pytest.fixture
def some() -> tuple[str, str]:
    return BUCKET, "07"


@pytest.fixture
def owner(bench: Bench) -> Iterator[Owner]:
    """Of the store, once the drive was migrated into it."""
    bench.migrate()
    with bench.owner() as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference is looked at again at once: nobody writes meanwhile."""
    monkeypatch.setattr(confirming, "PAUSE_SECONDS", 0.001)
