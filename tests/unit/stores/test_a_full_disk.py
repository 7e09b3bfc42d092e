"""LMDB fills its table of readers through a map; on a disk without room that would end the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.engine.stores import place
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.errors import StoreFullError

DRIVE = "1f2cf9a3-7a8c-4a5c-9a0a-0f2f6b8f8f01"


def test_no_store_is_begun_where_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LmdbStore.open(str(tmp_path / "old"), DRIVE).close()
    monkeypatch.setattr(place, "LEAST_FREE", 2**62)
    with pytest.raises(StoreFullError, match="make room first"):
        LmdbStore.open(str(tmp_path / "new"), DRIVE)
    LmdbStore.open(str(tmp_path / "old"), DRIVE).close()
