"""Whether a sweep can begin, in named figures: a table of what is there, and one real drive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.engine import preflight
from dualtrack.engine.drive import Drive
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.preflight import Figures, shortages, warning
from dualtrack.engine.stores.location import Driver
from dualtrack.engine.task import Task
from dualtrack.errors import StoreFullError
from layers import new_drive

ROOM = Figures(objects=1_000_000, rows=0, bytes_free=10**10, inodes_free=10**6, descriptors=1024)


@pytest.mark.parametrize("driver", list(Driver))
def test_with_room_there_is_nothing_to_say(driver: Driver) -> None:
    assert shortages(ROOM, driver) == []
    assert warning(ROOM, driver) == ""


@pytest.mark.parametrize(
    ("figures", "driver", "words"),
    [
        (replace(ROOM, bytes_free=10**6), Driver.LMDB, "1000000 bytes are free and 16777216"),
        (replace(ROOM, inodes_free=3), Driver.LMDB, "3 inodes are free and 64"),
        (replace(ROOM, descriptors=256), Driver.ROCKSDB, "256 files may be open and RocksDB needs 640"),
    ],
)
def test_each_shortage_names_what_is_free_and_what_is_needed(
    figures: Figures, driver: Driver, words: str
) -> None:
    (told,) = shortages(figures, driver)
    assert words in told


def test_what_does_not_apply_is_not_held_against_the_sweep() -> None:
    assert shortages(replace(ROOM, inodes_free=None), Driver.LMDB) == []
    assert shortages(replace(ROOM, bytes_free=0), Driver.POSTGRESQL) == []
    assert shortages(replace(ROOM, descriptors=256), Driver.LMDB) == []


def test_an_estimate_that_does_not_fit_is_a_warning_with_both_figures() -> None:
    tight = replace(ROOM, bytes_free=10**9)
    assert shortages(tight, Driver.LMDB) == []
    told = warning(tight, Driver.LMDB)
    assert "1200000000 bytes" in told
    assert "1000000000" in told
    assert warning(replace(tight, rows=900_000), Driver.LMDB) == ""


def test_a_sweep_of_a_full_disk_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = new_drive(tmp_path / "drive")
    drive = Drive.open(path)
    store = str(path / ".dualtrack" / "store")
    owner = Owner.open(str(path), store, OwnerSettings(drive_id=drive.drive_id, map_size=1 << 24))
    try:
        task = Task(drive, store, owner, owner.begin("test", 0), "test")
        preflight.check(task)
        assert task.notes["preflight"]["bytesFree"] > 0  # type: ignore[index]
        monkeypatch.setattr(preflight, "LEAST_BYTES", 1 << 62)
        with pytest.raises(StoreFullError, match="make room first"):
            preflight.check(task)
    finally:
        owner.close()
