"""A store made from the files: equal to what a sweep makes, swapped at once, and refused once rows lead."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import files, marker
from dualtrack.engine import rebuild as rebuilding
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.replacing import BUILDING
from dualtrack.engine.rowlog.opening import SETTING, Setting
from dualtrack.engine.rowlog.records import Position
from dualtrack.engine.rowlog.segments import segments
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import Batch, Digest
from dualtrack.engine.stores.recording import POSITION
from dualtrack.engine.stores.transaction import META, ROWS
from dualtrack.errors import MarkerError, RefusedError, StoreCorruptError, StoreVersionError
from sweepbench import Bench

Damage = Callable[[str, bytes], bytes]
WHO: dict[str, Any] = {"epoch": 0, "migration_uid": "", "now": datetime.now(UTC)}


class Cut(BaseException):
    """The process ends here."""


def run(bench: Bench, *more: str) -> int:
    where = ["--drive", str(bench.drive), "--store", str(bench.store)]
    return main(["engine", "rebuild", *where, *more])


def state(bench: Bench) -> tuple[Digest, bytes | None]:
    with bench.owner() as owner:
        return owner.digest(), owner.meta("store_uuid")


def aside(bench: Bench) -> list[Path]:
    return sorted(bench.store.parent.glob("store.replaced-*"))


def test_a_truncated_store_is_made_anew_from_the_files(bench: Bench, tmp_path: Path) -> None:
    digest, uuid = state(bench)
    found = marker.read(str(bench.drive))
    marker.write(
        str(bench.drive), found.moved(MarkerState.KV_PRIMARY, store_uuid=(uuid or b"").decode(), **WHO)
    )
    os.truncate(bench.store / "data.mdb", 20_000)
    with pytest.raises(StoreCorruptError), bench.owner():
        pass
    assert run(bench, "--result-file", str(tmp_path / "result")) == 0
    assert state(bench) == (digest, uuid)
    (old,) = aside(bench)
    assert (old / "data.mdb").stat().st_size == 20_000
    result = json.loads((tmp_path / "result").read_text())
    assert result["kept"] == str(old)
    assert result["lost"]
    assert not Path(f"{bench.store}.rebuild").exists()
    bench.verify()


def test_a_row_log_begins_anew_and_neither_log_is_laid_over_the_other_store(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "log"
    place.mkdir()
    with bench.owner() as owner:
        owner.log.start(str(place), 7, accept_same_device=True)
        before = Position.of(owner.meta(POSITION))
    assert run(bench, "--dry-run") == 0
    (folder,) = place.iterdir()
    assert len(segments(str(folder))) == 1
    assert run(bench) == 0
    assert f"its row log in {place} begins anew" in capsys.readouterr().err
    with bench.owner() as owner:
        status = owner.log.status()
        assert (status.directory, status.covers) == (str(place), False)
        owner.commit(Batch(meta={"note/later": b"1"}))
        after = Position.of(owner.meta(POSITION))
        assert Setting.of(owner.meta(SETTING)) == Setting(str(place), 7)
    assert before is not None
    assert after is not None
    assert before.log != after.log


def test_what_can_still_be_read_of_the_old_store_goes_on(bench: Bench, damage: Damage) -> None:
    with bench.owner() as owner:
        key = next(row.key for row in owner.scan(None, 1000) if row.bucket == "versioned")
        owner.begin("earlier", 41)
        owner.commit(Batch(meta={"waiver/x": b"kept", "waiver/y": b"lost", "mode": b"fs 1", "epoch": b"3"}))
        before = owner.store.term
    damage(ROWS, b"versioned\0" + os.fsencode(key))
    damage(META, b"waiver/y")
    assert run(bench) == 0
    with bench.owner() as owner:
        assert owner.meta("waiver/x") == b"kept"
        assert owner.meta("waiver/y") is None
        assert owner.meta("mode") == b"fs 1"
        assert owner.meta("swept_epoch") == b"3"
        assert json.loads(owner.meta("verified") or b"{}")["epoch"] == 3
        assert owner.store.fence() > 41
        assert owner.store.term > before


def test_an_owner_of_the_old_store_cannot_open_it_by_mistake(bench: Bench) -> None:
    assert run(bench) == 0
    (old,) = aside(bench)
    with pytest.raises(StoreVersionError, match="was replaced by a rebuilt store"):
        Owner.open(None, str(old), OwnerSettings())


def test_a_missing_store_is_made_anew(bench: Bench) -> None:
    digest, _ = state(bench)
    for path in bench.store.iterdir():
        path.unlink()
    bench.store.rmdir()
    assert run(bench) == 0
    assert state(bench)[0] == digest
    assert aside(bench) == []
    assert sorted(each.name for each in bench.store.parent.glob("store*")) == ["store"]


def test_a_rocksdb_store_is_made_anew_as_one(bench: Bench) -> None:
    digest, _ = state(bench)
    other = bench.drive / ".dualtrack" / "rocks"
    open_store(locate(f"rocksdb:{other}"), "").close()
    for path in (other / "rocksdb").glob("MANIFEST-*"):
        path.write_bytes(b"")
    where = ["--drive", str(bench.drive), "--store", str(other)]
    assert main(["engine", "rebuild", *where]) == 0
    assert (other / "rocksdb" / "CURRENT").is_file()
    store = open_store(locate(str(other)))
    assert store.digest() == digest
    store.close()


def test_a_dry_run_builds_verifies_and_leaves_everything_as_it_was(bench: Bench) -> None:
    os.truncate(bench.store / "data.mdb", 20_000)
    assert run(bench, "--dry-run") == 0
    assert (bench.store / "data.mdb").stat().st_size == 20_000
    assert aside(bench) == []
    assert not Path(f"{bench.store}.rebuild").exists()


@pytest.mark.parametrize("reached", [MarkerState.KV_ONLY, MarkerState.PURGED])
def test_no_rebuild_once_rows_may_be_the_only_copy(bench: Bench, reached: MarkerState) -> None:
    _, uuid = state(bench)
    found = marker.read(str(bench.drive))
    marker.write(str(bench.drive), found.moved(reached, store_uuid=(uuid or b"").decode(), **WHO))
    before = sorted(os.listdir(bench.store.parent))
    assert run(bench) == MarkerError.exit_code
    assert sorted(os.listdir(bench.store.parent)) == sorted({*before, "lock"})


def test_no_rebuild_where_files_are_or_were_on_hold(bench: Bench) -> None:
    (bench.drive / ".dualtrack" / "hold").mkdir()
    assert run(bench) == RefusedError.exit_code
    (bench.drive / ".dualtrack" / "hold").rmdir()
    with bench.owner() as owner:
        owner.commit(Batch(meta={"hold/number": b"1"}))
    assert run(bench) == RefusedError.exit_code
    assert aside(bench) == []


def test_cut_off_before_the_swap_it_begins_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, uuid = state(bench)

    def cut(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(rebuilding.Verification, "run", cut)
        with pytest.raises(Cut):
            run(bench)
    assert (Path(f"{bench.store}.rebuild") / BUILDING).exists()
    assert state(bench) == (digest, uuid)
    assert run(bench) == 0
    assert len(aside(bench)) == 1
    assert state(bench)[0] == digest


def test_cut_off_after_the_swap_nothing_of_the_old_store_is_removed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, _ = state(bench)
    with bench.owner() as owner:
        owner.commit(Batch(meta={"mine": b"old"}))

    def cut(one: str, other: str) -> None:
        exchange(one, other)
        raise Cut

    exchange = files.exchange
    with monkeypatch.context() as patch:
        patch.setattr(files, "exchange", cut)
        with pytest.raises(Cut):
            run(bench)
    assert state(bench)[0] == digest
    assert run(bench) == 0
    kept = aside(bench)
    assert len(kept) == 2
    for old in kept:
        store = open_store(locate(str(old)))
        assert store.meta("mine") == b"old"
        store.close()
