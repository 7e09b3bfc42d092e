"""What somebody does who has not read the documentation; each is told what is wrong, and what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import marker
from dualtrack.engine.marker import MarkerState
from smalldrive import small_bench


@pytest.fixture
def drive(minio_drive: Path, tmp_path: Path) -> Path:
    return small_bench(minio_drive, tmp_path, 20).drive


def engine(*arguments: object) -> int:
    return main(["engine", *map(str, arguments)])


@pytest.mark.parametrize("place", ["kv", "bkt/kv", ".minio.sys/tmp/kv"])
def test_no_store_is_made_where_a_server_would_take_it_for_its_own(
    drive: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine("migrate", "--drive", drive, "--store", drive / place) == 40
    assert "lies among the buckets of the drive" in capsys.readouterr().err
    assert not (drive / place).exists()
    assert engine("migrate", "--drive", drive, "--store", drive / ".dualtrack" / "another") == 0


def test_no_snapshot_is_made_where_a_server_would_take_it_for_its_own(
    drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine("migrate", "--drive", drive) == 0
    (tmp_path / "link").symlink_to(drive)
    assert engine("snapshot", "--drive", drive, "--to", tmp_path / "link" / "copy") == 40
    assert "lies among the buckets of the drive" in capsys.readouterr().err
    assert not (drive / "copy").exists()


def test_a_dry_run_of_migrate_says_how_much_there_is_to_do(
    drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine("migrate", "--drive", drive, "--dry-run") == 0
    assert f"nothing was changed: {drive} has 20 objects to bring into" in capsys.readouterr().out


def test_a_drive_whose_files_are_held_does_not_pass_for_an_empty_one(
    drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away(drive, tmp_path)
    assert engine("inventory", "--drive", drive) == 50
    assert "cleanup has taken the metadata files" in capsys.readouterr().err


def test_the_dry_run_of_a_purge_wants_the_snapshot_that_the_purge_wants(
    drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away(drive, tmp_path)
    options = ["--drive", drive, "--store", tmp_path / "kv", "--server-stopped", "--accept-same-device"]
    assert engine("cleanup", "purge", *options, "--snapshot", tmp_path / "none", "--dry-run") == 40
    assert "no snapshot in" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--sign-key"])
def test_a_report_that_could_not_be_left_or_signed_is_refused_before_the_reading(
    drive: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--out": str(tmp_path / "report.json"), option: "/nowhere/file"}
    assert engine("migrate", "--drive", drive) == 0
    capsys.readouterr()
    words = [word for pair in given.items() for word in pair]
    assert engine("report", "--drive", drive, "--progress", "json", *words) == 2
    told = capsys.readouterr()
    assert f"{option} /nowhere/file: " in told.err
    assert told.out == ""


def test_an_option_of_another_verb_leads_to_this_verbs_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        engine("restore", "--drive", "/", "--server-stopped")
    assert ended.value.code == 2
    assert "--server-stopped; see: dualtrack engine restore --help" in capsys.readouterr().err


def away(drive: Path, tmp_path: Path) -> None:
    """Migrate, verify and hold."""
    places = ["--drive", drive, "--store", tmp_path / "kv"]
    assert engine("migrate", *places) == 0
    assert engine("verify", *places) == 0
    assert engine("cleanup", "hold", *places, "--server-stopped") == 0


@pytest.mark.parametrize("verb", ["migrate", "restore", "verify"])
@pytest.mark.parametrize(
    ("state", "way"), [(MarkerState.DUAL_WRITE, "rebuild"), (MarkerState.KV_ONLY, "restore-store")]
)
def test_a_lost_store_is_told_with_the_way_to_get_it_back(
    drive: Path, verb: str, state: MarkerState, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = {"store_uuid": "0-1-2", "epoch": 1, "migration_uid": "m", "now": datetime.now(UTC)}
    marker.write(str(drive), marker.Marker().moved(state, **moved))
    assert engine(verb, "--drive", drive) == 2
    told = capsys.readouterr().err
    assert "names one, 0-1-2" in told
    assert f"dualtrack engine {way} makes it anew" in told
    assert not (drive / ".dualtrack" / "store").exists()
