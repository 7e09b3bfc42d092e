"""Drives whose files a hold cannot move in one step: refused before anything is changed, and by name."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import strace
from cleanup_crashes import overwritten_in_kv_only
from dualtrack.engine import devices, marker
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.drive import Drive
from dualtrack.engine.rows import RowOrigin
from dualtrack.errors import RefusedError

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems: needs root")

NO_FLAGS = ("-e", "trace=renameat2", "-e", "inject=renameat2:error=EINVAL")
"""How NFS answers."""


@pytest.fixture
def bench(copies: Callable[[Path], Any], migrated_tiny: Path) -> Any:
    return copies(migrated_tiny)


def refused(bench: Any, *options: str) -> str:
    """What `cleanup hold` says on a file system that knows no flags of `renameat2`."""
    hold = strace.command(bench, "cleanup", "hold", "--server-stopped", *options)
    done = strace.traced(hold, *NO_FLAGS)
    assert done.returncode == RefusedError.exit_code, done.stderr
    return done.stderr


def state(bench: Any) -> tuple[object, ...]:
    """All that must be as it was: every file, the marker, and the names beside it."""
    return bench.tree(), marker.read(str(bench.drive)).state, names(bench)


def names(bench: Any) -> list[str]:
    return sorted(name for name in os.listdir(bench.drive / ".dualtrack") if name != "audit.jsonl")


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    subprocess.run(["mount", *options, str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@needs_strace
def test_rows_come_back_over_older_and_deleted_files_without_renameat2(
    bench: Any,
) -> None:
    """A drive that was copied to such a file system must come back from its rows all the same."""
    overwritten_in_kv_only(bench)
    with bench.task() as task:
        rows = [row for row in task.owner.scan(None, 1000) if row.origin is RowOrigin.KV]
    before = {row.path: (bench.drive / row.path).read_bytes() for row in rows}
    done = strace.traced(strace.command(bench, "restore"), *NO_FLAGS)
    assert done.returncode == 0, done.stderr
    for row in rows:
        path = bench.drive / row.path
        assert path.read_bytes() == row.data if row.present else not path.exists()
    undone = [path for path in (bench.drive / ".dualtrack/undo").rglob("*") if path.is_file()]
    assert sorted(path.read_bytes() for path in undone) == sorted(before.values())
    assert list((bench.drive / ".dualtrack/tmp").iterdir()) == []


@needs_strace
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_file_system_that_may_replace_is_refused_before_anything_is_changed(
    bench: Any, options: tuple[str, ...]
) -> None:
    before = state(bench)
    told = refused(bench, *options)
    assert str(bench.drive) in told
    assert "RENAME_NOREPLACE" in told
    assert state(bench) == before
    assert not Drive.open(bench.drive).held


def test_nothing_of_the_trial_is_left(bench: Any) -> None:
    before = names(bench)
    probe = bench.drive / ".dualtrack" / "rename-probe.one"
    probe.write_bytes(b"of a run that was killed")
    bench.run(hold, dry_run=True)
    assert names(bench) == before


@needs_root
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
@pytest.mark.parametrize("path", ["xyz", "anon/utf8", "odd-xldir/x__XLDIR__"])
def test_a_part_of_the_drive_on_a_mount_of_its_own_is_named(
    bench: Any, tmp_path: Path, kind: str, path: str
) -> None:
    place = bench.drive / path
    aside = tmp_path / "with blank and ä"
    shutil.copytree(place, aside, symlinks=True)
    with mounted(place, *(("-t", "tmpfs", "odd-test") if kind == "tmpfs" else ("--bind", str(aside)))):
        if kind == "tmpfs":
            shutil.copytree(aside, place, symlinks=True, dirs_exist_ok=True)
        before = marker.read(str(bench.drive)).state
        with pytest.raises(RefusedError, match=f"{path} of {bench.drive}: on another"):
            bench.run(hold)
        assert marker.read(str(bench.drive)).state is before
        assert not Drive.open(bench.drive).held
    bench.run(hold)
    assert bench.metas() == []


@needs_root
def test_a_server_s_own_volume_and_the_store_may_lie_on_mounts_of_their_own(
    bench: Any, tmp_path: Path
) -> None:
    for number, path in enumerate((".minio.sys", ".dualtrack/store")):
        shutil.move(bench.drive / path, tmp_path / str(number))
        (bench.drive / path).mkdir()
    with (
        mounted(bench.drive / ".minio.sys", "--bind", str(tmp_path / "0")),
        mounted(bench.drive / ".dualtrack/store", "--bind", str(tmp_path / "1")),
    ):
        bench.run(hold)
        assert bench.metas() == []


@needs_root
def test_mounts_are_known_by_their_real_names(tmp_path: Path) -> None:
    place = tmp_path / "blank, ä and \\ and \udcff"
    place.mkdir()
    with mounted(place, "-t", "tmpfs", "odd-test"):
        assert (str(place), "odd-test") in set(devices.mounts())
