"""A repair and its undo, killed on entry of system calls that change something, and run again.

`strace` kills the real command line; nothing in the product knows of it. After each kill no object is without
a file and nothing that was there is lost; after the next run all is equal; after the undo all is as it was.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dualtrack.engine.rows import Row
from planting import PLANTS
from smalldrive import BUCKET, small_bench
from strace import Place, command, places, run
from sweepbench import Bench

CALLS = ("rename", "renameat2", "link", "linkat", "mkdir", "fsync", "fdatasync")
KEYS = ("03", "04")


@dataclass(frozen=True, slots=True)
class Case:
    """What is broken, the strategy that mends it, and the options that it needs."""

    plant: str
    words: tuple[str, ...]


CASES = {
    "sync-to-fs": Case("stale row", ("--strategy", "sync-to-fs", "--accept-newer", "--server-stopped")),
    "sync-to-fs, no file": Case("extra row", ("--strategy", "sync-to-fs", "--server-stopped")),
    "sync-to-kv": Case("stale row", ("--strategy", "sync-to-kv")),
    "use-fs": Case("extra row", ("--strategy", "use-fs")),
}


def ends(bench: Bench, *words: str) -> int:
    done = run(command(bench, *words))
    assert done.returncode in (0, 2, 51), done.stderr
    return done.returncode


def kill(arguments: list[str], place: Place) -> None:
    """It gets there: the undisturbed run did."""
    done = place.disturbed(arguments, "signal=SIGKILL")
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), (place, done.stderr)


def everything(bench: Bench) -> tuple[dict[str, bytes], dict[str, object]]:
    """Files by path, and what the rows say, but for their generations."""
    with bench.owner() as owner:
        rows: list[Row] = owner.scan(None, 1_000)
    found = {str(path): path.read_bytes() for path in bench.drive.glob(f"{BUCKET}/*/xl.meta")}
    return found, {row.key: (row.state, row.data, row.mode, row.mtime_ns) for row in rows}


def nothing_is_lost(bench: Bench, before: dict[str, bytes]) -> bool:
    """Each file that was there is there, or kept; and no object that had one is without."""
    kept = {path.read_bytes() for path in bench.drive.glob(".dualtrack/undo/**/*.meta")}
    return all(
        Path(path).is_file() and (Path(path).read_bytes() == data or data in kept)
        for path, data in before.items()
    )


@pytest.fixture
def broken(minio_drive: Path, tmp_path: Path) -> Callable[[str], Bench]:
    """A drive with two defects, copied afresh for each kill."""
    made: dict[str, Path] = {}

    def copy(plant: str) -> Bench:
        if plant not in made:
            made[plant] = folder = tmp_path / plant.replace(" ", "-")
            folder.mkdir()
            bench = small_bench(minio_drive, folder, 10)
            bench.migrate()
            bench.verify()
            with bench.owner() as owner:
                for key in KEYS:
                    PLANTS[plant][0](bench.drive, owner, (BUCKET, key))
        target = tmp_path / "copy"
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "--archive", str(made[plant]), str(target)], check=True)
        return Bench(target / "drive", target / "small-store")

    return copy


@pytest.mark.parametrize("case", CASES)
def test_a_repair_killed_anywhere(
    broken: Callable[[str], Bench], tmp_path: Path, case: str, tell: Callable[[str], None]
) -> None:
    plant, words = CASES[case].plant, CASES[case].words
    found = places(command(broken(plant), "repair", *words), CALLS, tmp_path / "log")
    for place in found:
        bench = broken(plant)
        before = everything(bench)
        kill(command(bench, "repair", *words, "--run-id", "first"), place)
        assert nothing_is_lost(bench, before[0]), place
        assert ends(bench, "repair", *words, "--run-id", "second") == 0
        assert ends(bench, "verify") == 0, place
        for run_id in ("second", "first"):
            assert ends(bench, "repair", "undo", run_id, *words[-1:] * ("--server-stopped" in words)) in (
                0,
                2,
            )
        assert everything(bench) == before, place
    tell(f"repair, {case}: killed at each of its {len(found)} calls")


@pytest.mark.parametrize("case", CASES)
def test_an_undo_killed_anywhere(
    broken: Callable[[str], Bench], tmp_path: Path, case: str, tell: Callable[[str], None]
) -> None:
    plant, words = CASES[case].plant, CASES[case].words
    undo = ("repair", "undo", "first", *words[-1:] * ("--server-stopped" in words))
    bench = broken(plant)
    assert ends(bench, "repair", *words, "--run-id", "first") == 0
    found = places(command(bench, *undo), CALLS, tmp_path / "log")
    for place in found:
        bench = broken(plant)
        before = everything(bench)
        assert ends(bench, "repair", *words, "--run-id", "first") == 0
        kill(command(bench, *undo), place)
        assert nothing_is_lost(bench, before[0]), place
        assert ends(bench, *undo) == 0
        assert everything(bench) == before, place
    tell(f"undo, {case}: killed at each of its {len(found)} calls")
