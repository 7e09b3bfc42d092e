"""Objects of old forms, `xl.json` among them, go all the way and come back under the name that they had."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import old_forms
from dualtrack.engine import snapshot
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import Drive
from dualtrack.engine.inventory import Tally, inventory
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.naming import MetaName
from dualtrack.engine.pace import Pace
from dualtrack.engine.rehearse import rehearse
from dualtrack.engine.restore import restore
from dualtrack.engine.rows import Row, RowState
from dualtrack.engine.verify import Verification
from dualtrack.errors import DifferenceError, RefusedError

JSON = "xl.json/xl-json"


def rows(bench) -> dict[str, Row]:
    with bench.task() as task:
        return {row.key: row for row in task.owner.scan(None, 1000) if row.bucket == "old"}


def test_a_row_says_which_file_it_came_from(old) -> None:
    names = {key: row.name for key, row in rows(old).items()}
    assert names == {
        **{fixture.name: MetaName.XL_META for fixture in old_forms.fixtures()},
        JSON: MetaName.XL_JSON,
        f"{JSON}-two-parts": MetaName.XL_JSON,
    }
    assert all(row.present for row in rows(old).values())


def test_an_inventory_lists_every_old_form(old) -> None:
    tally = Tally()
    listed = {entry.key for entry in inventory(Drive.open(old.drive), tally)}
    assert not tally.problems
    assert listed == {f.name for f in old_forms.fixtures() if f.seen} | {JSON, f"{JSON}-two-parts"}
    old_files = sum(fixture.form != "1.3" for fixture in old_forms.fixtures())
    assert tally.total().old_forms == old_files + 2


def test_a_drive_of_old_forms_comes_back_byte_for_byte(old, tmp_path: Path) -> None:
    files, directories = old.files(), old.directories()
    count = len(old.metas())
    assert old.run(rehearse).counts["comparedWithFile"] == count
    assert old.run(hold).counts["held"] == count == old.held()
    assert old.metas() == []
    old.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    assert (
        old.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True)).counts["purged"] == count
    )
    removed = old.run(remove_directories)
    assert (removed.counts["blocked"], removed.counts["inUse"]) == (0, 2)
    assert old.run(restore).counts["restored"] == count
    assert (old.files(), old.directories()) == (files, directories)
    old.run(lambda task: Verification(task).run())


def test_a_snapshot_keeps_the_name(old, tmp_path: Path) -> None:
    old.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    copied = type(old)(old.drive, tmp_path / "copy")
    assert rows(copied)[JSON].name is MetaName.XL_JSON


def test_a_file_that_its_server_has_renamed_differs_and_is_not_held(old) -> None:
    path = old.drive / "old" / JSON / "xl.json"
    path.rename(path.with_name("xl.meta"))
    with pytest.raises(DifferenceError, match="attributes"):
        old.run(lambda task: Verification(task).run())
    with pytest.raises((DifferenceError, RefusedError)):
        old.run(hold)
    assert path.with_name("xl.meta").exists()


def test_a_restore_puts_no_xl_json_beside_an_xl_meta(old) -> None:
    path = old.drive / "old" / JSON / "xl.json"
    old.run(hold)
    path.with_name("xl.meta").write_bytes(old_forms.fixtures()[0].data)
    with pytest.raises(DifferenceError, match=r"lies as xl\.meta"):
        old.run(restore)
    assert not path.exists()


def test_a_renamed_file_is_moved_in_its_row_by_the_next_sweep(old) -> None:
    path = old.drive / "old" / JSON / "xl.json"
    path.rename(path.with_name("xl.meta"))
    old.migrate()
    assert rows(old)[JSON].name is MetaName.XL_META


def test_an_xl_json_that_is_gone_is_a_deleted_object(old) -> None:
    os.unlink(old.drive / "old" / JSON / "xl.json")
    old.run(lambda task: Sweep(task, Pace(None, None, lambda: 0.0)).run())
    assert rows(old)[JSON].state is RowState.TOMBSTONE


def test_an_xl_json_that_holds_no_json_is_quarantined(old) -> None:
    (old.drive / "old" / JSON / "xl.json").write_bytes(old_forms.fixtures()[0].data)
    task = old.run(lambda task: Sweep(task, Pace(None, None, lambda: 0.0)).run())
    assert task.names == [f"old/{JSON}: xl-json"]
    assert rows(old)[JSON].state is RowState.FS_RESIDENT


def test_an_xl_meta_hides_the_xl_json_beside_it_and_does_so_again_at_the_end(old, tmp_path: Path) -> None:
    path = old.drive / "old" / JSON / "xl.meta"
    path.write_bytes(old_forms.fixtures()[0].data)
    old.migrate()
    row = rows(old)[JSON]
    assert (row.name, row.data) == (MetaName.XL_META, path.read_bytes())
    before = old.files()
    old.run(hold)
    assert (old.drive / "old" / JSON / "xl.json").exists()
    old.run(hold)
    old.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    old.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    old.run(hold)
    assert old.run(remove_directories).counts["blocked"] == 1
    assert (old.drive / "old" / JSON / "xl.json").exists()
    old.run(restore)
    assert old.files() == before
