"""The whole way of a drive: migrate, verify, hold, purge, directories, restore, and it is what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dualtrack.engine import marker, snapshot
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import Drive
from dualtrack.engine.ledger import ledger
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.rehearse import rehearse
from dualtrack.engine.restore import restore
from dualtrack.engine.verify import Verification


class Bench(Protocol):
    drive: Path

    def __getattr__(self, name: str): ...


def test_a_drive_that_went_all_the_way_comes_back_byte_for_byte(whole: Bench, tmp_path: Path) -> None:
    before_files, before_directories = whole.files(), whole.directories()
    rows = len(whole.metas())
    copy = tmp_path / "copy"
    rehearsed = whole.run(rehearse)
    assert rehearsed.counts["comparedWithFile"] == 100
    assert not (whole.drive / ".dualtrack" / "rehearsal").exists()

    held = whole.run(hold)
    assert held.counts["held"] == rows == whole.held()
    assert whole.metas() == []
    assert Drive.open(whole.drive).held
    assert marker.read(str(whole.drive)).state is MarkerState.KV_ONLY

    whole.run(lambda task: snapshot.snapshot(task, str(copy)))
    purged = whole.run(lambda task: purge(task, str(copy), same_device=True))
    assert purged.counts["purged"] == rows
    assert whole.held() == 0
    assert marker.read(str(whole.drive)).state is MarkerState.PURGED

    removed = whole.run(remove_directories)
    assert removed.counts["removed"] > 2000
    assert removed.counts["blocked"] == 0
    assert whole.run(remove_directories).counts["removed"] == 0
    counted = whole.run(ledger)
    assert counted.counts["rows"] == rows

    restored = whole.run(restore)
    assert restored.counts["restored"] == rows
    assert whole.files() == before_files
    assert whole.directories() == before_directories
    assert marker.read(str(whole.drive)).state is MarkerState.FS_AUTHORITATIVE
    verified = whole.run(lambda task: Verification(task).run())
    assert verified.counts["differences"] == 0
    assert whole.run(restore).notes["message"].startswith("nothing to restore")
