"""The plain commands of the command contract, on a store that lies beside its drive."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import marker
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.orphans import finding
from dualtrack.engine.rows import RowState
from dualtrack.engine.snapshot import put_of
from dualtrack.engine.stores.protocol import Batch


def test_a_store_beside_the_drive_goes_all_the_way_with_a_warning(
    small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, rows = small.files(), len(small.metas())
    store, result = tmp_path / "store", tmp_path / "result.json"
    small.store.rename(store)
    where = ["--drive", str(small.drive), "--store", str(store), "--result-file", str(result)]

    assert main(["engine", "cleanup", "hold", *where, "--server-stopped"]) == 0
    assert "warning: the store" in capsys.readouterr().err
    told = json.loads(result.read_bytes())
    assert told["ok"] is True
    assert told["verb"] == "cleanup hold"
    assert told["drive"]["marker"] == "KvOnly"
    assert "outside its drive" in told["warning"]
    assert json.loads(told["formatJSON"])["format"] == "xl-single"

    assert main(["engine", "cleanup", "purge", *where, "--server-stopped", "--accept-same-device"]) == 0
    assert (tmp_path / "store.snapshot" / "data.mdb").is_file()
    assert main(["engine", "cleanup", "directories", *where, "--server-stopped"]) == 0
    assert main(["engine", "ledger", *where]) == 0
    told = json.loads(result.read_bytes())
    assert told["counts"]["rows"] == rows
    assert told["reportDigest"].startswith("blake3:")
    assert os.path.getsize(result) <= 3 * 1024
    assert small.metas() == []

    assert main(["engine", "restore", *where]) == 0
    assert small.files() == before
    assert marker.read(str(small.drive)).state is MarkerState.FS_AUTHORITATIVE


def test_a_dry_run_says_that_it_was_one(small, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its figures are those of the run itself, and nobody should take it for that."""
    before, result = small.files(), tmp_path / "result.json"
    where = ["--drive", str(small.drive), "--store", str(small.store), "--result-file", str(result)]
    assert main(["engine", "cleanup", "hold", *where, "--server-stopped", "--dry-run"]) == 0
    told = f"dry run, nothing was changed: complete (held {len(small.metas())},"
    assert told in capsys.readouterr().out
    assert json.loads(result.read_bytes())["message"].startswith(told)
    assert small.files() == before


def test_the_report_after_the_purge_is_proven_by_its_root_and_by_no_other(small, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    where = ["--drive", str(small.drive), "--store", str(small.store)]
    for step in ("hold", "purge", "directories"):
        snapshot = ["--snapshot", str(tmp_path / "snapshot"), "--accept-same-device"] * (step == "purge")
        if step == "purge":
            assert main(["engine", "snapshot", *where, "--to", str(tmp_path / "snapshot")]) == 0
        assert main(["engine", "cleanup", step, *where, *snapshot, "--server-stopped"]) == 0
    report = f"{small.drive}/.dualtrack/report.json"
    made = ["--out", report, "--detail", "ranges", "--result-file", str(result)]
    assert main(["engine", "report", *where, *made]) == 0
    told = json.loads(result.read_bytes())
    assert told["counts"]["objects"] > 0
    check = ["engine", "report", "check", report, *where, "--root"]
    assert main([*check, told["root"]]) == 0
    assert main([*check, "blake2b:" + 64 * "0"]) == 51


def test_no_orphan_is_moved_where_the_verb_itself_is_refused(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(finding, "GRACE_SECONDS", 0)
    where = ["--drive", str(small.drive), "--store", str(small.store), "--server-stopped"]
    away = ["--snapshot", str(tmp_path / "snapshot"), "--accept-same-device"]
    assert main(["engine", "snapshot", *where[:4], "--to", str(tmp_path / "snapshot")]) == 0
    assert main(["engine", "cleanup", "hold", *where]) == 0
    assert main(["engine", "cleanup", "purge", *where, *away]) == 0
    bucket = next(path for path in small.drive.iterdir() if not path.name.startswith("."))
    orphan = bucket / "gone" / str(uuid.uuid4())
    orphan.mkdir(parents=True)
    (orphan / "part.1").write_bytes(b"data")
    healing = small.drive / ".minio.sys/buckets/.healing.bin"
    healing.write_bytes(b"x")
    capsys.readouterr()
    assert main(["engine", "cleanup", "directories", *where]) == 40
    assert "being healed" in capsys.readouterr().err
    assert orphan.exists()
    healing.unlink()
    assert main(["engine", "cleanup", "directories", *where]) == 0
    assert not orphan.exists()


def test_a_result_is_whole_however_much_is_lost(small, tmp_path: Path) -> None:
    """What is longer than a termination message is cut, and the operator would have no result at all."""
    with small.task() as task:
        rows = [row for row in task.owner.scan(None, 1_000) if row.present and not row.bucket.startswith(".")]
        generation = task.owner.next_generation()
        residents = [
            replace(row, generation=generation, state=RowState.FS_RESIDENT, data=b"") for row in rows[:60]
        ]
        task.owner.commit(Batch(puts=tuple(put_of(row) for row in residents)))
    small.run(hold)
    for directory in small.metas():
        (small.drive / directory / "xl.meta").unlink()
    result = tmp_path / "result.json"
    where = ["--drive", str(small.drive), "--store", str(small.store), "--result-file", str(result)]
    assert main(["engine", "restore", *where]) == 0
    assert os.path.getsize(result) <= 3 * 1024
    told = json.loads(result.read_bytes())
    assert told["counts"]["residentMissing"] == len(residents) > 10
    assert f"{len(residents)} objects are lost" in told["warning"]


def test_a_missing_store_is_no_empty_one(small, tmp_path: Path) -> None:
    where = ["--drive", str(small.drive), "--store", str(tmp_path / "typo")]
    assert main(["engine", "restore", *where]) == 2
    assert not (tmp_path / "typo").exists()
