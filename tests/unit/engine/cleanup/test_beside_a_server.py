"""Cleanup and restore as Jobs run them: clients of a data plane that owns the store and goes on serving."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from dualtrack.engine import files, marker, snapshot
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rehearse import rehearse
from dualtrack.engine.restore import restore
from dualtrack.engine.server import Server
from dualtrack.engine.session import connect
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification

UID = "0b1f"


@contextmanager
def served(bench, mode: Mode) -> Iterator[Callable[..., Task]]:
    """A data plane's owner in `mode` with its socket; gives a function that runs a verb as a client."""
    drive = Drive.open(bench.drive)
    owner = Owner.open(drive.path, str(bench.store), OwnerSettings(drive_id=drive.drive_id, mode=mode))
    server = Server(owner, str(bench.store))

    def run(verb: Callable[[Task], object], fence: int) -> Task:
        run_id = f"job-{fence}"
        with (
            connect(drive.path, str(bench.store), OwnerSettings(), client_only=True) as client,
            DriveLock.acquire(drive.path, client.begin(run_id, fence), run_id) as lock,
        ):
            task = Task(
                Drive.open(bench.drive),
                str(bench.store),
                client,
                fence,
                run_id,
                epoch=mode.epoch,
                migration_uid=UID,
                client_only=True,
                lock=lock,
            )
            verb(task)
            return task

    try:
        yield run
    finally:
        server.close()
        owner.close()


def test_the_whole_way_and_back_beside_a_data_plane(small, tmp_path: Path) -> None:
    before, rows = small.files(), len(small.metas())
    with small.task() as task:
        uuid = task.owner.info().store_uuid
    changed = "2026-11-23T00:00:00+00:00"
    marker.write(str(small.drive), Marker(MarkerState.KV_ONLY, uuid, 1, UID, changed))
    copy = str(tmp_path / "copy")
    with served(small, Mode(Engine.KV_ONLY, Decimal(1), False, 1)) as run:
        run(lambda task: Verification(task, final=True).run(), 100)
        assert run(rehearse, 101).counts["rehearsed"] == 100
        assert run(hold, 102).counts["held"] == rows
        run(lambda task: snapshot.snapshot(task, copy), 103)
        assert run(lambda task: purge(task, copy, same_device=True), 104).counts["purged"] == rows
        run(remove_directories, 105)
    assert small.metas() == []
    with served(small, Mode(Engine.KV_PRIMARY, Decimal(1), False, 2)) as run:
        assert run(restore, 106).counts["restored"] == rows
    assert small.files() == before
    # Only `mark` moves it back, once the operator has verified the restore.
    assert marker.read(str(small.drive)).state is MarkerState.PURGED


def test_a_data_plane_that_prunes_what_cleanup_empties_stops_nothing(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left to flush then is the directory above."""
    before = small.files(), small.directories()
    small.run(hold)
    small.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    real, pruned = files.remove_directory, []

    def remove(path: str) -> bool:
        done, parent = real(path), os.path.dirname(path)
        if done and parent not in {str(each) for each in small.drive.iterdir()} and real(parent):
            pruned.append(parent)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(files, "remove_directory", remove)
        small.run(remove_directories)
    assert pruned
    small.run(restore)
    assert (small.files(), small.directories()) == before
