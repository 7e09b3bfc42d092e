"""A few buckets of a drive that a MinIO filled, migrated and verified, with the store on the drive."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sweepbench import Bench


@pytest.fixture(scope="session")
def migrated_once(minio_drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    drive = tmp_path_factory.mktemp("recovery") / "d1"
    drive.mkdir()
    for name in (".minio.sys", "anon", "versioned", "odd-xldir", "xyz"):
        subprocess.run(["cp", "--archive", str(minio_drive / name), str(drive / name)], check=True)
    bench = Bench(drive, drive / ".dualtrack" / "store")
    bench.migrate()
    bench.verify()
    return drive


@pytest.fixture
def bench(migrated_once: Path, tmp_path: Path) -> Bench:
    drive = tmp_path / "d1"
    subprocess.run(["cp", "--archive", "--sparse=always", str(migrated_once), str(drive)], check=True)
    return Bench(drive, drive / ".dualtrack" / "store")


@pytest.fixture
def damage(bench: Bench) -> Callable[[str, bytes], bytes]:
    """Flips a bit in the middle of an entry of a table; gives its key."""

    def flip(table: str, key: bytes) -> bytes:
        with bench.owner() as owner, owner.store._write() as txn:  # type: ignore[attr-defined]
            value = bytearray(txn.get(table, key))
            value[len(value) // 2] ^= 1
            txn.put(table, key, bytes(value))
        return key

    return flip
