"""A snapshot on the drive's own disk is none for the day on which that disk fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import devices, snapshot
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.errors import RefusedError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems: needs root")


@pytest.fixture
def bench(copies: Callable[[Path], Any], migrated_tiny: Path) -> Any:
    return copies(migrated_tiny)


@contextmanager
def mounted(place: Path) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "devices-test", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@needs_root
def test_a_purge_wants_its_snapshot_on_another_disk(bench: Any, tmp_path: Path) -> None:
    bench.run(hold)
    held = bench.held()
    beside = str(tmp_path / "copy")
    bench.run(lambda task: snapshot.snapshot(task, beside))
    with pytest.raises(RefusedError, match="accept-same-device"):
        bench.run(lambda task: purge(task, beside))
    assert bench.held() == held
    with mounted(tmp_path / "other") as other:
        copy = str(other / "copy")
        bench.run(lambda task: snapshot.snapshot(task, copy))
        task = bench.run(lambda task: purge(task, copy))
        assert task.counts["purged"] == held
        assert "warning" not in task.notes
    assert bench.held() == 0


def test_a_purge_that_is_told_so_goes_on_with_a_warning(bench: Any, tmp_path: Path) -> None:
    bench.run(hold)
    copy = str(tmp_path / "copy")
    bench.run(lambda task: snapshot.snapshot(task, copy))
    task = bench.run(lambda task: purge(task, copy, same_device=True))
    assert "as the drive" in str(task.notes["warning"])


@needs_root
def test_two_mounts_of_their_own_share_nothing_and_a_bind_mount_all(tmp_path: Path) -> None:
    with mounted(tmp_path / "one") as one, mounted(tmp_path / "two") as two:
        assert devices.shared(str(one), str(two)) == frozenset()
        (tmp_path / "bound").mkdir()
        subprocess.run(["mount", "--bind", str(one), str(tmp_path / "bound")], check=True)
        try:
            assert devices.shared(str(one), str(tmp_path / "bound" / "not" / "yet"))
        finally:
            subprocess.run(["umount", str(tmp_path / "bound")], check=True)


def test_partitions_and_volumes_are_known_by_their_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel lays `/sys` out: two partitions of `sda`, a volume over `sda2` and `sdb`."""
    real = tmp_path / "devices"
    for path in ("sda/sda1", "sda/sda2", "sdb", "dm-0/slaves"):
        (real / path).mkdir(parents=True)
    for partition in ("sda1", "sda2"):
        (real / "sda" / partition / "partition").write_text("1\n")
    (real / "dm-0" / "slaves" / "sda2").symlink_to(real / "sda" / "sda2")
    (real / "dm-0" / "slaves" / "sdb").symlink_to(real / "sdb")
    numbers = tmp_path / "block"
    numbers.mkdir()
    for number, path in {"8:1": "sda/sda1", "8:16": "sdb", "253:0": "dm-0"}.items():
        (numbers / number).symlink_to(real / path)
    monkeypatch.setattr(devices, "_SYS", str(numbers))

    def disks(number: str) -> frozenset[str]:
        return devices._below(f"{numbers}/{number}")

    assert disks("8:1") == {"sda"}
    assert disks("8:16") == {"sdb"}
    assert disks("253:0") == {"sda", "sdb"}
    assert disks("9:9") == frozenset()
