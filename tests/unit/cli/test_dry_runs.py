"""A dry run leaves the file system as it was: the same names, and in them the same bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.owner import Owner, OwnerSettings
from layers import MAP_SIZE
from logged import Place, gone_on
from smalldrive import small_bench

OWNERS = ("data.mdb", "lock.mdb", "owner.lock")
"""What an owner writes in a store that it opens: its term, its readers, its name."""

AT_REST = (
    "migrate",
    "verify",
    "scrub",
    "ledger",
    "rehearse",
    "restore",
    "rebuild",
    "quarantine retry",
    "mark --state DualWrite",
    "snapshot --to {}/copy",
    "repair --strategy sync-to-kv --object bkt/00",
    "validate --bucket bkt --sample 5",
    "cleanup hold --server-stopped",
)
HELD = (
    "cleanup hold --server-stopped",
    "cleanup purge --server-stopped --accept-same-device --snapshot {}/copy",
    "orphans list",
    "orphans collect --server-stopped",
    "restore",
    "rehearse",
    "verify --against-snapshot {}/copy",
)


def engine(words: str, drive: Path, *more: str) -> int:
    return main(["engine", *words.split(), "--drive", str(drive), "--dry-run", *more])


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every name below `root`, with its kind and rights, and its content but for what an owner writes."""
    found: dict[str, tuple[int, bytes]] = {}
    for parent, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(parent, name)
            status = path.lstat()
            told = stat.S_ISREG(status.st_mode) and name not in OWNERS
            found[str(path)] = status.st_mode, path.read_bytes() if told else b""
    return found


@contextmanager
def owning(drive: Path) -> Iterator[Owner]:
    store = str(drive / ".dualtrack" / "store")
    with closing(Owner.open(str(drive), store, OwnerSettings(map_size=MAP_SIZE))) as owner:
        yield owner


@pytest.fixture
def drive(minio_drive: Path, tmp_path: Path) -> Path:
    return small_bench(minio_drive, tmp_path, 20).drive


@pytest.fixture
def migrated(drive: Path) -> Path:
    assert main(["engine", "migrate", "--drive", str(drive)]) == 0
    assert main(["engine", "verify", "--drive", str(drive)]) == 0
    return drive


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """At `KvOnly`, with a snapshot and a log that goes on from it."""
    return gone_on(tmp_path)


@pytest.mark.parametrize("words", ["migrate", "mark --state DualWrite", "rebuild"])
def test_where_there_is_no_store_yet_none_is_made(
    drive: Path, tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(tmp_path)
    assert engine(words, drive) == 0
    assert everything(tmp_path) == before
    assert engine(words, drive, "--store", str(tmp_path / "another" / "store")) == 0
    assert everything(tmp_path) == before
    assert "nothing was changed" in capsys.readouterr().out


@pytest.mark.parametrize("words", AT_REST)
def test_beside_a_store_nothing_is_left(migrated: Path, tmp_path: Path, words: str) -> None:
    before = everything(tmp_path)
    assert engine(words.format(tmp_path), migrated) == 0
    assert everything(tmp_path) == before


@pytest.mark.parametrize("words", HELD)
def test_beside_held_files_nothing_is_left(migrated: Path, tmp_path: Path, words: str) -> None:
    for done in ("cleanup hold --server-stopped", f"snapshot --to {tmp_path}/copy"):
        assert main(["engine", *done.split(), "--drive", str(migrated)]) == 0
    before = everything(tmp_path)
    assert engine(words.format(tmp_path), migrated) == 0
    assert everything(tmp_path) == before


@pytest.mark.parametrize("words", ["row-log start --to {}/log2 --accept-same-device", "row-log stop"])
def test_a_row_log_is_neither_begun_nor_ended(place: Place, tmp_path: Path, words: str) -> None:
    (tmp_path / "log2").mkdir()
    before = everything(tmp_path).keys()
    with place.owner() as owner:
        known = owner.log.status()
    assert engine(words.format(tmp_path), place.drive) == 0
    assert everything(tmp_path).keys() == before
    with place.owner() as owner:
        assert owner.log.status().directory == known.directory


def test_a_lost_store_stays_lost(place: Place, tmp_path: Path) -> None:
    for name in OWNERS:
        (place.store / name).unlink()
    place.store.rmdir()
    before = everything(tmp_path)
    assert place.restore_with_log("--dry-run") == 0
    assert everything(tmp_path) == before


def test_a_run_that_is_at_work_goes_on_beside_it(migrated: Path) -> None:
    with owning(migrated) as owner:
        fence = owner.begin("sweep", 0)
    DriveLock.acquire(str(migrated), fence, "sweep").release()
    for words in ("migrate", "restore", "mark --state DualWrite"):
        assert engine(words, migrated) == 0
    with owning(migrated) as owner:
        assert owner.begin("sweep", fence) == fence
    DriveLock.acquire(str(migrated), fence, "sweep").release()
