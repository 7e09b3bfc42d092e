"""All drives of a set go from files to rows and back, and come back byte for byte; a part goes nowhere.

The set is one of which a drive was away while others were written, so that no drive can stand for another.
The larger ones are in `tests/long`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.drive import Drive
from sets import engine, metas, state

DIFFERENCE, REFUSED, USAGE = 51, 40, 2


@pytest.fixture
def stale(drives: Callable[[str], Path]) -> list[Path]:
    return sorted(drives("minio-4d-stale").glob("d?"))


def migrated(drives: list[Path]) -> None:
    assert engine("migrate", drives) == 0
    assert engine("verify", drives, "--accept-deviations") == 0


def test_the_whole_way_and_back_leaves_every_drive_as_it_was(stale: list[Path], tmp_path: Path) -> None:
    before = [state(drive) for drive in stale]
    files = len(metas(stale))
    migrated(stale)
    assert engine("cleanup hold", stale, "--server-stopped") == 0
    assert metas(stale) == []
    assert all(Drive.open(drive).held for drive in stale)
    copies = str(tmp_path / "copies")
    assert engine("snapshot", stale, "--to", copies) == 0
    assert (
        engine("cleanup purge", stale, "--accept-same-device", "--server-stopped", "--snapshot", copies) == 0
    )
    assert engine("cleanup directories", stale, "--server-stopped") == 0
    assert engine("restore", stale) == 0
    assert len(metas(stale)) == files
    assert [state(drive) for drive in stale] == before


def test_a_drive_that_was_away_is_no_clean_verification_unless_accepted(
    stale: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine("migrate", stale) == 0
    assert engine("verify", stale) == DIFFERENCE
    told = capsys.readouterr().err
    assert "d4: 18 missing, 4 stale, 5 extra, 2 diverged" in told
    assert engine("cleanup hold", stale, "--server-stopped") == REFUSED
    assert "were not compared with each other" in capsys.readouterr().err
    assert all(not Drive.open(drive).held for drive in stale)


def test_a_part_of_a_set_is_never_held(stale: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    migrated(stale)
    files = metas(stale)
    assert engine("cleanup hold", stale[:3], "--server-stopped") == REFUSED
    assert Drive.open(stale[3]).drive_id in capsys.readouterr().err
    assert metas(stale) == files


def test_nothing_is_held_on_any_drive_where_one_of_them_refuses(
    stale: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    migrated(stale)
    files = metas(stale)
    healing = stale[3] / ".minio.sys/buckets/.healing.bin"
    healing.write_bytes(b"")
    assert engine("cleanup hold", stale, "--server-stopped") == REFUSED
    assert "being healed" in capsys.readouterr().err
    assert metas(stale) == files
    assert all(not Drive.open(drive).held for drive in stale)


def test_a_verification_of_one_drive_voids_what_was_said_of_the_set(stale: list[Path]) -> None:
    migrated(stale)
    assert engine("migrate", stale[:1]) == 0
    assert engine("verify", stale[:1]) == 0
    assert engine("cleanup hold", stale, "--server-stopped") == REFUSED
    assert all(not Drive.open(drive).held for drive in stale)


def test_the_stores_alone_say_what_the_drives_say(
    stale: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine("migrate", stale) == 0
    capsys.readouterr()
    assert engine("inventory", stale, "--format", "jsonl") == 0
    files = capsys.readouterr().out
    stores = [word for drive in stale for word in ("--store", str(drive / ".dualtrack/store"))]
    assert main(["engine", "export", *stores]) == 0
    assert capsys.readouterr().out == files
    assert len(files.splitlines()) == 36


def test_drives_and_stores_that_do_not_pair_up_are_refused(
    stale: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine("migrate", stale, "--store", str(tmp_path / "one")) == USAGE
    assert "--store was given 1 times and --drive 4 times" in capsys.readouterr().err
    same = [word for _ in stale for word in ("--store", str(tmp_path / "one"))]
    assert engine("migrate", stale, *same) == USAGE
    assert not (tmp_path / "one").exists()
