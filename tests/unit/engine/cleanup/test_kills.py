"""Killed at a system call and started again: the end is the same, and no row lacks its file too early.

`strace` kills the real command line on entry of the N-th call of a kind; nothing in the product knows of it.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.engine import marker, naming, snapshot
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import Drive
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.rows import Row, is_system
from dualtrack.engine.task import Task
from strace import Place, command, places, run

HOLD_CALLS = ("rename", "renameat2", "mkdir", "fsync", "fdatasync")
PURGE_CALLS = ("rename", "unlink", "rmdir", "fsync", "fdatasync")
RESTORE_CALLS = ("rename", "unlink", "mkdir", "fsync", "fdatasync", "utimensat")
DIRECTORY_CALLS = ("rmdir", "fdatasync")

Copy = Callable[[Path], "object"]
pytestmark = pytest.mark.skipif(
    subprocess.run(["which", "strace"], capture_output=True).returncode != 0, reason="strace is not installed"
)


def spread(every: list[Place]) -> list[Place]:
    """Of each kind of call, on each kind of thread, the first and the last."""
    kinds: dict[tuple[str, bool], list[Place]] = {}
    for place in every:
        kinds.setdefault((place.call, place.main), []).append(place)
    return [found[0] for found in kinds.values()] + [found[-1] for found in kinds.values() if len(found) > 1]


def killed(arguments: list[str], place: Place) -> bool:
    done = place.disturbed(arguments, "signal=SIGKILL")
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
    return done.returncode != 0


def again(arguments: list[str]) -> None:
    done = run(arguments)
    assert done.returncode == 0, done.stderr


def present_rows(bench) -> list[Row]:
    with bench.task() as task:
        rows = task.owner.scan(None, 10_000)
    return [row for row in rows if row.present and not is_system(row.bucket)]


def kept_bytes(bench) -> set[bytes]:
    """The content of every held file."""
    hold_folder = bench.drive / ".dualtrack" / "hold"
    return {path.read_bytes() for path in hold_folder.rglob("*") if path.is_file()}


def test_a_hold_killed_anywhere_ends_like_an_undisturbed_one(
    copies: Copy, migrated_tiny: Path, tmp_path: Path
) -> None:
    verb = ("cleanup", "hold", "--server-stopped")
    every = places(command(copies(migrated_tiny), *verb), HOLD_CALLS, tmp_path / "log")
    kills = 0
    for place in spread(every):
        bench = copies(migrated_tiny)
        kills += killed(command(bench, *verb), place)
        rows = present_rows(bench)
        held = kept_bytes(bench)
        for row in rows:
            path = bench.drive / naming.meta_path(row.bucket, row.key)
            assert row.data in held or path.read_bytes() == row.data, (place, row.key)
        held_format = Drive.open(bench.drive).held
        assert held_format or not held, place
        again(command(bench, *verb))
        assert bench.metas() == []
        assert bench.held() == len(rows) == 9
        assert Drive.open(bench.drive).held
        assert marker.read(str(bench.drive)).state is MarkerState.KV_ONLY
    assert kills > 6


def to_held(bench, snapshot_dir: Path) -> None:
    bench.run(hold)
    bench.run(lambda task: snapshot.snapshot(task, str(snapshot_dir)))


def to_purged(bench, snapshot_dir: Path) -> None:
    to_held(bench, snapshot_dir)

    def rest(task: Task) -> None:
        purge(task, str(snapshot_dir), same_device=True)

    bench.run(rest)
    bench.run(remove_directories)


def test_a_purge_killed_anywhere_ends_like_an_undisturbed_one(
    copies: Copy, migrated_tiny: Path, tmp_path: Path
) -> None:
    prepared = copies(migrated_tiny)
    to_held(prepared, tmp_path / "copy")
    verb = (
        "cleanup",
        "purge",
        "--server-stopped",
        "--accept-same-device",
        "--snapshot",
        str(tmp_path / "copy"),
    )
    every = places(command(copies(prepared.drive), *verb), PURGE_CALLS, tmp_path / "log")
    kills = 0
    for place in spread(every):
        bench = copies(prepared.drive)
        kills += killed(command(bench, *verb), place)
        if bench.held() < 9:
            assert marker.read(str(bench.drive)).state is MarkerState.PURGED, place
        again(command(bench, *verb))
        assert bench.held() == 0
        assert len(present_rows(bench)) == 9
        assert marker.read(str(bench.drive)).state is MarkerState.PURGED
    assert kills > 6


def test_a_restore_killed_anywhere_gives_the_same_drive(
    copies: Copy, migrated_tiny: Path, tmp_path: Path
) -> None:
    prepared = copies(migrated_tiny)
    before = prepared.files()
    to_purged(prepared, tmp_path / "copy")
    every = places(command(copies(prepared.drive), "restore"), RESTORE_CALLS, tmp_path / "log")
    kills = 0
    for place in spread(every):
        bench = copies(prepared.drive)
        kills += killed(command(bench, "restore"), place)
        state = marker.read(str(bench.drive)).state
        if not Drive.open(bench.drive).held:
            assert bench.files() == before, place
        if state is MarkerState.FS_AUTHORITATIVE:
            assert not Drive.open(bench.drive).held, place
        again(command(bench, "restore"))
        assert bench.files() == before, place
        assert marker.read(str(bench.drive)).state is MarkerState.FS_AUTHORITATIVE
        assert not (bench.drive / ".dualtrack" / "format.json.orig").exists()
    assert kills > 6


def test_removing_directories_killed_anywhere_can_still_be_restored(
    copies: Copy, migrated_tiny: Path, tmp_path: Path
) -> None:
    prepared = copies(migrated_tiny)
    before, directories = prepared.files(), prepared.directories()
    to_held(prepared, tmp_path / "copy")
    prepared.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    verb = ("cleanup", "directories", "--server-stopped")
    every = places(command(copies(prepared.drive), *verb), DIRECTORY_CALLS, tmp_path / "log")
    kills = 0
    for place in spread(every):
        bench = copies(prepared.drive)
        kills += killed(command(bench, *verb), place)
        again(command(bench, *verb))
        again(command(bench, "restore"))
        assert bench.files() == before, place
        assert bench.directories() == directories, place
    assert kills > 3
