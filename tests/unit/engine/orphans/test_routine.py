"""Orphans that a migration collects by itself, when it removes directories."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dualtrack.engine.marker import MarkerState
from dualtrack.engine.orphans import keeping
from dualtrack.engine.orphans.routine import collect_beside
from dualtrack.errors import IncompleteError
from layers import mark, opened, orphans_task
from orphanage import DAY, orphanage, plant, tree


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return orphanage(tmp_path_factory.mktemp("routine") / "drive")


@pytest.fixture
def drive(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "drive")


def test_they_are_moved_aside_told_and_can_be_given_back(drive: Path) -> None:
    place = plant(drive)
    before = tree(drive)
    with opened(drive, "kv_only") as layer:
        mark(drive, MarkerState.PURGED)
        with orphans_task(layer, DAY, dry_run=True) as task:
            collect_beside(task)
            assert task.counts == {"orphansCollected": 1}
        assert tree(drive) == before
        with orphans_task(layer, DAY) as task:
            collect_beside(task)
            assert task.counts == {"orphansCollected": 1}
            assert task.run_id in str(task.notes["orphans"])
            assert before.keys() - tree(drive).keys() == {place}
        with orphans_task(layer, DAY) as other:
            keeping.undo(other, task.run_id)
        assert tree(drive) == before


def test_what_the_collection_refuses_is_told_and_is_no_failure(drive: Path) -> None:
    for _ in range(101):
        plant(drive)
    before = tree(drive)
    with opened(drive, "kv_only") as layer:
        mark(drive, MarkerState.PURGED)
        with orphans_task(layer, DAY) as task:
            collect_beside(task)
            assert "named by no row" in str(task.notes["warning"])
            assert "undo" not in task.notes
        assert tree(drive) == before


def test_nothing_is_collected_before_the_files_are_purged_or_once_the_run_was_told_to_stop(
    drive: Path,
) -> None:
    plant(drive)
    before = tree(drive)
    with opened(drive, "kv_only") as layer:
        with orphans_task(layer, DAY) as task:
            collect_beside(task)
        mark(drive, MarkerState.PURGED)
        with orphans_task(layer, DAY, stop=lambda: True) as task, pytest.raises(IncompleteError):
            collect_beside(task)
    assert tree(drive) == before
