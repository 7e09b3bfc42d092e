"""Killed or failed at every system call that changes a drive, each verb, each place; then run again.

`strace` kills the real command line at the N-th call of a kind, or lets the call fail with EIO, ENOSPC or
EROFS in turn, for N = 1, 2, … up to the last call of an undisturbed run, on the busiest thread and on the
main one. After each: every object is accounted for at once, the verb run again ends well, and its end is
that of an undisturbed run.

`DUALTRACK_KILL_POINTS=N` takes N places of each verb, drawn by the seed, instead of all.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import marker, naming, snapshot
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import Drive
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.rows import is_system
from strace import Place, command, places, run

CALLS = (
    *("rename", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "rmdir"),
    *("fsync", "fdatasync", "pwrite64", "pwritev", "ftruncate", "msync", "utimensat", "syncfs"),
)
ERRORS = ("EIO", "ENOSPC", "EROFS")
POINTS = int(os.environ.get("DUALTRACK_KILL_POINTS", "0"))
OBJECTS = 9

Copy = Callable[[Path], Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A drive as the verb finds it, the verb, and what has to hold once it has ended well."""

    drive: Path
    verb: tuple[str, ...]
    check: Callable[[Any], None]


class Way:
    """The drive at each station, and what lay on it at first."""

    def __init__(self, copies: Copy, tiny: Path, home: Path) -> None:
        self.copies, self.home = copies, home
        self.copy = str(home / "copy")
        self.migrated = copies(tiny)
        self.files, self.directories = self.migrated.files(), self.migrated.directories()
        self.bytes = {
            path: (self.migrated.drive / path).read_bytes() for path in self.files if path.endswith("xl.meta")
        }
        self.raw = copies(tiny)
        shutil.rmtree(self.raw.drive / ".dualtrack")
        self.held = self._from(self.migrated, hold)
        self.held.run(lambda task: snapshot.snapshot(task, self.copy))
        self.purged = self._from(self.held, lambda task: purge(task, self.copy, same_device=True))
        self.removed = self._from(self.purged, remove_directories)

    def _from(self, bench: Any, verb: Callable[[Any], object]) -> Any:
        after = self.copies(bench.drive)
        after.run(verb)
        return after

    def case(self, name: str) -> Case:
        stopped = "--server-stopped"
        match name:
            case "migrate":
                return Case(self.raw.drive, ("migrate",), self.is_migrated)
            case "snapshot":
                return Case(self.migrated.drive, ("snapshot", "--to", "{home}/snap"), self.has_snapshot)
            case "hold":
                return Case(self.migrated.drive, ("cleanup", "hold", stopped), self.is_held)
            case "purge":
                verb = ("cleanup", "purge", stopped, "--accept-same-device", "--snapshot", self.copy)
                return Case(self.held.drive, verb, self.is_purged)
            case "directories":
                return Case(self.purged.drive, ("cleanup", "directories", stopped), self.is_removed)
            case "restore":
                return Case(self.removed.drive, ("restore",), self.is_restored)
        raise AssertionError(name)

    def rows(self, bench: Any) -> dict[str, bytes]:
        if not (bench.store / "data.mdb").exists():
            return {}
        with bench.task() as task:
            rows = task.owner.scan(None, 10_000)
        return {
            naming.meta_path(row.bucket, row.key): row.data
            for row in rows
            if row.present and not is_system(row.bucket)
        }

    def objects(self) -> dict[str, bytes]:
        return {path: data for path, data in self.bytes.items() if not path.startswith(".")}

    def is_accounted_for(self, bench: Any) -> None:
        """Whatever happened: each object's bytes are in its file, or in its row."""
        rows = self.rows(bench)
        for path, data in self.objects().items():
            file = bench.drive / path
            assert rows.get(path) == data or (file.is_file() and file.read_bytes() == data), path
            if not Drive.open(bench.drive).held:
                assert file.read_bytes() == data, f"a server could start, and {path} is not there"

    def is_migrated(self, bench: Any) -> None:
        assert self.rows(bench) == self.objects()
        assert bench.files() == self.files

    def has_snapshot(self, bench: Any) -> None:
        with bench.task() as task:
            found = snapshot.last(task)
            assert found is not None
            assert found.digest == str(task.owner.digest())

    def is_held(self, bench: Any) -> None:
        assert bench.metas() == []
        assert bench.held() == len(self.rows(bench)) == OBJECTS
        assert marker.read(str(bench.drive)).state is MarkerState.KV_ONLY

    def is_purged(self, bench: Any) -> None:
        assert bench.held() == 0
        assert self.rows(bench) == self.objects()
        assert marker.read(str(bench.drive)).state is MarkerState.PURGED

    def is_removed(self, bench: Any) -> None:
        assert bench.directories().keys() == self.removed.directories().keys()
        assert self.rows(bench) == self.objects()

    def is_restored(self, bench: Any) -> None:
        assert bench.files() == self.files
        assert bench.directories() == self.directories
        assert marker.read(str(bench.drive)).state is MarkerState.FS_AUTHORITATIVE


@pytest.fixture(scope="module")
def way(bench_type: type, migrated_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Way:
    home = tmp_path_factory.mktemp("way")
    numbers = iter(range(1_000_000))

    def copy(source: Path) -> Any:
        drive = home / f"drive-{next(numbers)}"
        subprocess.run(["cp", "--archive", str(source), str(drive)], check=True)
        return bench_type(drive, drive / ".dualtrack" / "store")

    return Way(copy, migrated_tiny, home)


def chosen(every: list[Place], rng: random.Random) -> list[tuple[Place, str]]:
    """All places and what is injected there, or as many as were asked for."""
    pairs = [
        (place, injected)
        for place in every
        for injected in ("signal=SIGKILL", f"error={ERRORS[place.number % len(ERRORS)]}")
    ]
    return rng.sample(pairs, POINTS) if 0 < POINTS < len(pairs) else pairs


def filled(case: Case, home: Path) -> tuple[str, ...]:
    return tuple(word.replace("{home}", str(home)) for word in case.verb)


@pytest.mark.parametrize("name", ["migrate", "hold", "purge", "directories", "restore", "snapshot"])
def test_a_verb_that_is_killed_or_failed_anywhere_loses_nothing(
    way: Way, name: str, seed: int, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    case = way.case(name)
    undisturbed = way.copies(case.drive)
    every = places(command(undisturbed, *filled(case, tmp_path / "undisturbed")), CALLS, tmp_path / "log")
    case.check(undisturbed)
    happened: Counter[str] = Counter()
    for number, (place, injected) in enumerate(chosen(every, random.Random(seed))):
        bench = way.copies(case.drive)
        home = tmp_path / str(number)
        home.mkdir()
        arguments = command(bench, *filled(case, home))
        done = place.disturbed(arguments, injected)
        where = (name, place, injected, done.stderr[-500:])
        if injected == "signal=SIGKILL":
            assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), where
        else:
            # A failure is told by the product's own codes, or was one that does no harm.
            assert done.returncode in (0, 1) or 20 <= done.returncode < 70, where
            assert "Traceback" not in done.stderr, where
        ended = "killed" if "SIGKILL" in injected else "failed"
        happened[ended if done.returncode else "ended well"] += 1
        way.is_accounted_for(bench)
        again = run(arguments)
        assert again.returncode == 0, (where, again.stderr)
        case.check(bench)
        shutil.rmtree(bench.drive)
    tell(f"{name}: {sum(happened.values())} places, {dict(happened)}; 0 lost")
    assert happened["killed"] + happened["failed"]
