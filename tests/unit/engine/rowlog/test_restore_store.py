"""`restore-store`: what it makes, what it refuses, and that nothing of the old store is lost by it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.engine import marker
from dualtrack.engine.auditlog import parse
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.restore_store import Sources, restore_store
from dualtrack.engine.rowlog import noting, replaying
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stores.protocol import Batch
from dualtrack.errors import (
    IncompleteError,
    MarkerError,
    RefusedError,
    StoreCorruptError,
    StoreLockedError,
    UsageError,
)
from layers import MAP_SIZE, mark
from logged import Place, numbers, write


@pytest.fixture
def covered(place: Place) -> Place:
    """With a snapshot, and records behind it."""
    with place.owner() as owner:
        for number in range(10):
            write(owner, number)
        place.snapshot(owner)
        for number in range(10, 30):
            write(owner, number)
    return place


def aside(place: Place) -> list[Path]:
    return sorted(place.store.parent.glob("store.replaced-*"))


def test_the_old_store_is_kept_and_the_result_says_what_was_made(covered: Place, tmp_path: Path) -> None:
    before = covered.held()
    damaged = covered.store / "data.mdb"
    os.truncate(damaged, 20_000)
    assert covered.restore_with_log("--result-file", str(tmp_path / "result")) == 0
    assert covered.held() == before
    (old,) = aside(covered)
    assert (old / "data.mdb").stat().st_size == 20_000
    result = json.loads((tmp_path / "result").read_text())
    assert result["ok"]
    assert result["kept"] == str(old)
    assert result["counts"]["records"] > 0
    lines = parse((covered.drive / ".dualtrack" / "audit.jsonl").read_bytes())
    verbs = [line.fields["verb"] for line in lines if line.fields and "verb" in line.fields]
    assert verbs[-1] == "restore-store"
    undone = "".join(line.fields.get("undo", "") for line in lines if line.fields)
    assert f"put {old} in place of {covered.store} and remove its file 'replaced'" in undone


def test_a_dry_run_makes_and_proves_it_and_leaves_all_as_it_was(covered: Place) -> None:
    before = sorted(os.listdir(covered.store.parent))
    content = (covered.store / "data.mdb").read_bytes()
    assert covered.restore_with_log("--dry-run") == 0
    assert (covered.store / "data.mdb").read_bytes() == content
    assert sorted(os.listdir(covered.store.parent)) == before


def test_it_ends_wherever_it_is_told_to_and_changes_nothing(
    covered: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_RECORDS", 1)
    content = (covered.store / "data.mdb").read_bytes()
    drive = Drive.open(str(covered.drive))
    sources = Sources(str(covered.copy), str(covered.log))

    def stopped_at(last: int) -> int:
        """How often it asked."""
        asked = itertools.count()
        with DriveLock.acquire(drive.path, known_fence(drive.path) + 1, "test") as lock:
            restore_store(
                drive,
                locate(str(covered.store)),
                lock,
                sources,
                stop=lambda: next(asked) == last,
                dry_run=True,
            )
        return next(asked)

    often = stopped_at(-1)
    assert often > 2 * 20  # reading the log and laying it over the copy
    for last in (0, often // 3, often // 2, often - 1):
        with pytest.raises(IncompleteError, match="interrupted"):
            stopped_at(last)
        assert (covered.store / "data.mdb").read_bytes() == content
        assert aside(covered) == []
    assert covered.restore_with_log() == 0


def test_a_torn_tail_is_left_out_by_name(
    covered: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "write", lambda *_: None)  # it is killed, and notes nothing any more
    with covered.owner() as owner:
        write(owner, 31)
    path = Path(covered.segments()[-1].path)
    os.truncate(path, path.stat().st_size - 3)
    assert covered.restore_with_log() == 0
    assert f"left out, because it was never acknowledged: {path}" in capsys.readouterr().out
    assert numbers(covered.held()[0]) >= set(range(10, 30)) - {14, 19, 24, 29}


def test_what_the_drive_knows_to_have_been_durable_is_missing_where_it_is_torn(
    covered: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(covered.segments()[-1].path)
    os.truncate(path, path.stat().st_size - 3)
    assert covered.restore_with_log() == IncompleteError.exit_code
    told = capsys.readouterr()
    assert "acknowledged commits are missing, 1 or more" in told.err
    assert "never acknowledged" not in told.out + told.err


def test_a_damaged_log_is_refused_and_nothing_was_changed(
    covered: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(covered.segments()[-1].path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    content = (covered.store / "data.mdb").read_bytes()
    assert covered.restore_with_log() == StoreCorruptError.exit_code
    assert "is damaged, and others follow it" in capsys.readouterr().err
    assert (covered.store / "data.mdb").read_bytes() == content
    assert aside(covered) == []


def test_a_log_that_does_not_continue_the_snapshot_is_refused(
    covered: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    old = covered.copy.with_name("old")
    shutil.copytree(covered.copy, old)
    with covered.owner() as owner:
        covered.snapshot(owner)
        write(owner, 31)
    shutil.rmtree(covered.copy)
    old.rename(covered.copy)
    assert covered.restore_with_log() == RefusedError.exit_code
    assert "the log in" in capsys.readouterr().err
    assert aside(covered) == []


def test_a_snapshot_alone_is_not_taken_for_enough_unless_somebody_says_so(covered: Place) -> None:
    assert covered.restore() == RefusedError.exit_code
    assert covered.restore("--without-log") == 0
    assert numbers(covered.held()[0]) == set(range(10)) - {4, 9}


def test_a_snapshot_that_somebody_has_written_into_is_refused(
    covered: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = Owner.open(str(covered.drive), str(covered.copy), OwnerSettings(drive_id=covered.drive_id))
    write(owner, 50)
    owner.close()
    assert covered.restore_with_log() == RefusedError.exit_code
    assert "has written into" in capsys.readouterr().err


def test_looking_at_a_snapshot_as_its_owner_does_it_no_harm(covered: Place) -> None:
    before = covered.held()
    owner = Owner.open(str(covered.drive), str(covered.copy), OwnerSettings(drive_id=covered.drive_id))
    owner.close()
    shutil.rmtree(covered.store)
    assert covered.restore_with_log() == 0
    assert covered.held() == before


def test_where_files_are_the_truth_a_store_is_rebuilt_from_them(
    covered: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    mark(covered.drive, MarkerState.KV_PRIMARY)
    assert covered.restore_with_log() == MarkerError.exit_code
    assert "engine rebuild" in capsys.readouterr().err


def test_the_snapshot_of_another_store_is_refused(covered: Place, capsys: pytest.CaptureFixture[str]) -> None:
    found = marker.read(str(covered.drive))
    marker.write(str(covered.drive), replace(found, store_uuid="another"))
    assert covered.restore_with_log() == RefusedError.exit_code
    assert "names another" in capsys.readouterr().err


def test_a_store_that_is_owned_is_not_replaced(covered: Place) -> None:
    with covered.owner():
        assert covered.restore_with_log() == StoreLockedError.exit_code


def test_an_end_by_name_is_told(covered: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with covered.owner() as owner:
        owner.log.stop()
        owner.commit(Batch(meta={"note/later": b"1"}))
    assert covered.restore_with_log() == IncompleteError.exit_code
    assert "ended by name" in capsys.readouterr().err
    assert "note/later" not in covered.held()[1]


@pytest.mark.parametrize("cause", ["without its log", "its end is lost"])
def test_that_the_store_went_on_with_another_log_is_told(
    covered: Place, capsys: pytest.CaptureFixture[str], cause: str
) -> None:
    if cause == "its end is lost":
        path = Path(covered.segments()[-1].path)
        os.truncate(path, path.stat().st_size - 3)
    else:
        with closing(LmdbStore.open(str(covered.store), map_size=MAP_SIZE)) as store:
            store.open_term()
    with covered.owner() as owner:
        write(owner, 31)
    assert covered.restore_with_log("--dry-run") == IncompleteError.exit_code
    assert "though it was acknowledged" in capsys.readouterr().err
    with covered.owner() as owner:
        covered.snapshot(owner)
        write(owner, 32)
    assert covered.restore_with_log() == 0
    assert "warning" not in capsys.readouterr().out
    assert {31, 32} <= numbers(covered.held()[0])


def test_wrong_places_are_named(covered: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert covered.restore("--row-log", str(covered.copy)) == UsageError.exit_code
    assert "there is no log of drive" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [True, False])
def test_a_log_whose_last_segment_was_removed_is_told_by_the_drive(
    covered: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    with monkeypatch.context() as patch:
        owner = covered.open()
        owner.log.rotate()
        write(owner, 31)
        if not closed:  # it is killed, and notes nothing any more
            patch.setattr(noting, "write", lambda *_: None)
        owner.close()
    shutil.rmtree(covered.store)
    last = Path(covered.segments()[-1].path)
    kept = last.rename(covered.drive.parent / last.name)
    result = covered.drive.parent / "result"
    assert covered.restore_with_log("--result-file", str(result)) == IncompleteError.exit_code
    told = f"acknowledged commits are missing, {int(closed)} or more"
    error = capsys.readouterr().err
    assert told in error
    assert "run this again before a server starts" in error
    left = json.loads(result.read_text())
    assert (left["ok"], left["exitCode"]) == (False, IncompleteError.exit_code)
    assert told in left["missing"][0]
    kept.rename(last)
    assert covered.restore_with_log() == 0
    assert capsys.readouterr().err == ""
    assert 31 in numbers(covered.held()[0])


def test_a_later_log_of_which_nothing_is_left_is_told_by_the_drive(
    covered: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(LmdbStore.open(str(covered.store), map_size=MAP_SIZE)) as store:
        store.open_term()
    known = {each.header.log for each in covered.segments()}
    with covered.owner() as owner:
        write(owner, 31)
    for each in covered.segments():
        if each.header.log not in known:
            os.unlink(each.path)
    assert covered.restore_with_log("--dry-run") == IncompleteError.exit_code
    assert "of which nothing is here" in capsys.readouterr().err


@pytest.mark.parametrize(("note", "told"), [(None, "has no note of its log"), (b"{}", "cannot be read")])
def test_that_nothing_is_known_of_the_logs_end_is_told(
    covered: Place, capsys: pytest.CaptureFixture[str], note: bytes | None, told: str
) -> None:
    path = Path(noting.path_of(str(covered.drive)))
    path.unlink()
    if note is not None:
        path.write_bytes(note)
    assert covered.restore_with_log("--dry-run") == IncompleteError.exit_code
    assert told in capsys.readouterr().err
