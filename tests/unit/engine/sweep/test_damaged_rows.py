"""A row that the store has damaged stops no sweep: it is named, and written anew or set aside."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import migrate
from dualtrack.engine.native import library
from dualtrack.engine.owner import Owner
from dualtrack.engine.pace import Pace
from dualtrack.engine.quarantine import all_quarantined
from dualtrack.engine.repair import records
from dualtrack.engine.stores import keys
from dualtrack.engine.stores.protocol import Place, StoreStats
from dualtrack.engine.stores.transaction import INDEX, ROWS
from dualtrack.errors import StoreCorruptError
from smalldrive import BUCKET, small_bench
from sweepbench import Bench

PLACE = (BUCKET, "07")


@pytest.fixture(scope="module")
def migrated_once(minio_drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive with its store on it."""
    made = small_bench(minio_drive, tmp_path_factory.mktemp("damaged"), 48)
    made.file(".minio.sys", "config/some").parent.mkdir(parents=True)
    shutil.copyfile(made.file(*PLACE), made.file(".minio.sys", "config/some"))
    Bench(made.drive, made.drive / ".dualtrack" / "store").migrate()
    return made.drive


@pytest.fixture
def bench(migrated_once: Path, tmp_path: Path) -> Bench:
    drive = tmp_path / "d1"
    subprocess.run(["cp", "--archive", "--sparse=always", str(migrated_once), str(drive)], check=True)
    return Bench(drive, drive / ".dualtrack" / "store")


def flip(owner: Owner, table: str, place: Place, at: int) -> None:
    with owner.store._write() as txn:  # type: ignore[attr-defined]
        full = keys.full_key(*place)
        value = bytearray(txn.get(table, full))
        value[at] ^= 1
        txn.put(table, full, bytes(value))


@pytest.fixture
def damage(bench: Bench) -> Callable[..., None]:
    def flip_all(place: Place = PLACE, *, table: str = ROWS, at: int = -1) -> None:
        with bench.owner() as owner:
            flip(owner, table, place, at)

    return flip_all


def figures(bench: Bench) -> StoreStats:
    with bench.owner() as owner:
        return owner.stats()


def quarantine(bench: Bench) -> dict[str, str]:
    with bench.owner() as owner:
        return {each.name: each.reason for each in all_quarantined(owner)}


@pytest.mark.parametrize("at", [0, 3, 8, 70, -1])
def test_a_sweep_writes_a_damaged_row_anew_and_says_so(
    bench: Bench, damage: Callable[..., None], at: int
) -> None:
    before = figures(bench)
    damage(at=at)
    with pytest.raises(StoreCorruptError, match="/07"):
        bench.verify()
    task = bench.migrate()
    assert task.counts["mended"] == 1
    assert task.counts["scanned"] == sum(before.objects.values())
    assert any("/07: its row is damaged" in name for name in task.names)
    assert "damaged rows" in str(task.notes["warning"])
    after = figures(bench)
    assert (after.objects, after.versions) == (before.objects, before.versions)
    assert bench.verify().counts["repairedSince"] == 1
    assert quarantine(bench) == {}
    with bench.owner() as owner:
        owner.digest()
        told = [(each.run_id, each.objects) for each in records.audits(owner)]
        assert told == [(task.run_id, 1)]


def test_the_same_by_pure_python(
    bench: Bench, damage: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "library", lambda: None)
    damage()
    assert bench.migrate().counts["mended"] == 1
    bench.verify()


def test_the_same_through_a_servers_socket_and_beside_a_mark(bench: Bench) -> None:
    with bench.served() as (owner, client):
        flip(owner, ROWS, PLACE, -1)
        token = owner.mark(*PLACE)
        run_id = "through-the-socket"
        task = bench.task(owner)
        task.owner, task.fence, task.run_id = client, client.begin(run_id, 0), run_id
        sweep = migrate.Sweep(task, Pace(None, None, lambda: 0.0))
        sweep.run()
        assert task.counts["mended"] == 1
        row = owner.get(*PLACE)
        assert row is not None
        assert row.data == bench.file(*PLACE).read_bytes()
        owner.clear(token)
    bench.verify()


def test_row_and_index_entry_may_both_be_damaged(bench: Bench, damage: Callable[..., None]) -> None:
    before = figures(bench)
    damage()
    damage(table=INDEX)
    assert bench.migrate().counts["mended"] == 1
    bench.verify()
    assert figures(bench).objects == before.objects


def test_a_row_of_the_system_volume_is_written_anew(bench: Bench, damage: Callable[..., None]) -> None:
    before = figures(bench)
    damage((".minio.sys", "config/some"))
    assert bench.migrate().counts["mended"] == 1
    bench.verify()
    assert figures(bench).objects == before.objects


def test_a_damaged_row_without_a_file_is_quarantined_and_kept(
    bench: Bench, damage: Callable[..., None]
) -> None:
    damage()
    shutil.rmtree(bench.file(*PLACE).parent)
    with bench.owner() as owner, owner.store._read() as txn:  # type: ignore[attr-defined]
        lost = txn.get(ROWS, keys.full_key(*PLACE))
    task = bench.migrate()
    assert (task.counts["mended"], task.counts["damaged"], task.counts["tombstones"]) == (0, 1, 0)
    assert quarantine(bench) == {"/".join(PLACE): "store"}
    with bench.owner() as owner, owner.store._read() as txn:  # type: ignore[attr-defined]
        assert txn.get(ROWS, keys.full_key(*PLACE)) == lost
    with pytest.raises(StoreCorruptError, match="/07"):
        bench.verify()
    assert bench.migrate().counts["damaged"] == 1


def test_a_damaged_row_is_not_overwritten_from_a_corrupt_file(
    bench: Bench, damage: Callable[..., None]
) -> None:
    damage()
    file = bench.file(*PLACE)
    sound = file.read_bytes()
    file.write_bytes(sound[:20] + bytes((sound[20] ^ 1,)) + sound[21:])
    assert bench.migrate().counts["mended"] == 0
    assert quarantine(bench) == {"/".join(PLACE): "store"}
    file.write_bytes(sound)
    assert bench.migrate().counts["mended"] == 1
    assert quarantine(bench) == {}
    bench.verify()


def test_a_tombstone_that_was_damaged_beside_a_new_file(bench: Bench, damage: Callable[..., None]) -> None:
    before = figures(bench)
    kept = shutil.copytree(bench.file(*PLACE).parent, bench.store.parent / "kept")
    shutil.rmtree(bench.file(*PLACE).parent)
    bench.migrate()
    damage(at=60)
    shutil.copytree(kept, bench.file(*PLACE).parent)
    assert bench.migrate().counts["mended"] == 1
    bench.verify()
    assert figures(bench).objects == before.objects


def test_a_retry_of_a_quarantined_row_mends_it(bench: Bench, damage: Callable[..., None]) -> None:
    damage()
    where = ["--drive", str(bench.drive), "--store", str(bench.store)]
    assert main(["engine", "scrub", *where]) == StoreCorruptError.exit_code
    assert quarantine(bench) == {"/".join(PLACE): "store"}
    assert main(["engine", "quarantine", "retry", *where]) == 0
    assert quarantine(bench) == {}
    bench.verify()


def test_a_dry_run_changes_no_damaged_row(bench: Bench, damage: Callable[..., None]) -> None:
    damage()
    bench.migrate(dry_run=True)
    with pytest.raises(StoreCorruptError):
        bench.verify()
    assert quarantine(bench) == {}
