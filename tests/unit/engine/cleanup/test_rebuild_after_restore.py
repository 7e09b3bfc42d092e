"""The store of a drive that went there and back can be made anew, not that of one that still holds some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import marker, snapshot
from dualtrack.engine.cleanup import records
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.restore import restore
from dualtrack.engine.stores.protocol import Batch
from dualtrack.engine.verify import Verification
from dualtrack.errors import RefusedError


def rebuild(bench) -> int:
    return main(["engine", "rebuild", "--drive", str(bench.drive), "--store", str(bench.store)])


def meta_of(bench) -> dict[str, bytes]:
    with bench.task() as task:
        return dict(task.owner.meta_scan("", None, 10_000))


@pytest.mark.parametrize("way", ["held", "purged"])
def test_after_a_whole_restore_the_store_can_be_made_anew(small, tmp_path: Path, way: str) -> None:
    with small.task() as task:
        before = task.owner.digest()
    small.run(hold)
    if way == "purged":
        small.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
        small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    assert rebuild(small) != 0
    small.run(restore)
    held, files = small.held(), small.files()
    assert rebuild(small) == 0
    assert len(list(small.store.parent.glob("store.replaced-*"))) == 1
    with small.task() as task:
        assert task.owner.digest() == before
    assert (small.held(), small.files()) == (held, files)
    # The new store knows it, too, and the whole way can be gone again.
    assert rebuild(small) == 0
    small.run(lambda task: Verification(task).run())
    small.run(hold)
    assert small.held() > held
    assert not records.all_restored(meta_of(small))
    assert rebuild(small) != 0


@pytest.mark.parametrize(
    "what", ["held again", "about to be held", "never recorded", "no marker", "no store"]
)
def test_what_may_still_be_held_keeps_a_rebuild_refused(small, what: str) -> None:
    small.run(hold)
    small.run(restore)
    changes = {
        "held again": {records.NUMBER: b"1000000"},
        "about to be held": {records.PENDING: b"[]"},
        "never recorded": {records.RESTORED: None},
    }
    with small.task() as task:
        task.owner.commit(Batch(meta=changes.get(what, {})))
    if what == "no marker":
        os.unlink(marker.path_of(str(small.drive)))
    if what == "no store":
        small.store.rename(small.store.with_name("elsewhere"))
    assert rebuild(small) == RefusedError.exit_code
    assert not list(small.store.parent.glob("store.replaced-*"))


def test_a_drive_whose_marker_was_lowered_by_hand_is_not_rebuilt(small) -> None:
    """Nothing was brought back, whatever the marker says."""
    small.run(hold)
    os.unlink(marker.path_of(str(small.drive)))
    marker.write(str(small.drive), marker.Marker(MarkerState.FS_AUTHORITATIVE))
    assert rebuild(small) == RefusedError.exit_code
