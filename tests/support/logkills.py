"""A store with a row log, killed at system calls that change something: what was acknowledged is still there.

`strace` kills the real command line, and a program that commits rows (`logged.py`); nothing in the product
knows of it. After each kill the store as it lies there, opened again, and the one that snapshot and log give
are the same, and hold every commit that was acknowledged.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import logged
from logged import lose, lost_and_restored, started, write
from strace import Place, command, places, run

CALLS = (
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    "msync",
    "rename",
    "renameat2",
    "unlink",
    "mkdir",
    "rmdir",
)
WRITES = 12
"""The writer begins a segment after every fourth."""
Points = Callable[[list[Place]], list[Place]]


def everywhere(every: list[Place]) -> list[Place]:
    return every


def renames_and_ends(every: list[Place]) -> list[Place]:
    """Each rename, which is where one thing takes the place of another; of other calls the first and last."""
    last = {(place.call, place.main): place.number for place in every}
    return [
        place
        for place in every
        if place.call == "rename" or place.number in (1, last[place.call, place.main])
    ]


class Killing:
    """A place that is as it was before each kill. It stays at its path, which the store knows its log by."""

    def __init__(self, path: Path) -> None:
        self._path = path / "at"
        self._kept = path / "kept"
        self._traces = path / "traces"
        self._path.mkdir()
        self.place = started(self._path)
        with self.place.owner() as owner:
            for number in range(5):
                write(owner, number)
            self.place.snapshot(owner)
            for number in range(5, 9):
                write(owner, number)

    def keep(self) -> None:
        subprocess.run(["cp", "--archive", str(self._path), str(self._kept)], check=True)

    def bring_back(self) -> None:
        shutil.rmtree(self._path)
        subprocess.run(["cp", "--archive", str(self._kept), str(self._path)], check=True)

    def verb(self, words: list[str], points: Points, check: Callable[[], None]) -> int:
        """Kill the verb at each of its points, and check; how many."""
        self._traces.mkdir()
        self.keep()
        wanted = points(places(words, CALLS, self._traces / "log"))
        for place in wanted:
            self.bring_back()
            _is_killed(place.disturbed(words, "signal=SIGKILL"))
            check()
        return len(wanted)

    def writer(self, points: Points) -> int:
        """Kill a program that commits at each of its points, and check; how many."""
        self._traces.mkdir()
        self.keep()
        program = [sys.executable, logged.__file__, str(self.place.drive), "100", str(WRITES)]
        trace = ["strace", "-f", "-ff", "-o", str(self._traces / "log"), "-e", "trace=" + ",".join(CALLS)]
        subprocess.run([*trace, *program], check=True, capture_output=True)
        wanted = points(_places(self._traces))
        for place in wanted:
            self.bring_back()
            inject = ["-e", f"trace={place.call}"]
            inject += ["-e", f"inject={place.call}:signal=SIGKILL:when={place.number}"]
            done = subprocess.run(
                ["strace", "-f", "-o", "/dev/null", *inject, *program],
                capture_output=True,
                text=True,
                check=False,
            )
            _is_killed(done)
            acknowledged = {each for each in map(int, done.stdout.split()) if each % 5 != 4}
            assert lost_and_restored(self.place) >= acknowledged | {5, 6, 7, 8}, place
        return len(wanted)


def _is_killed(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), (done.args, done.stderr)


def _places(folder: Path) -> list[Place]:
    """By the thread that makes the most of each call."""
    found = [
        re.findall(r"^(\w+)\(", path.read_text(errors="replace"), re.MULTILINE) for path in folder.iterdir()
    ]
    return [
        Place(call, number + 1) for call in CALLS for number in range(max(each.count(call) for each in found))
    ]


def begun_anywhere(path: Path, points: Points) -> int:
    killing = Killing(path)
    place = killing.place
    with place.owner() as owner:
        owner.log.stop()
    words = command(place, "row-log", "start", "--to", str(place.log), "--accept-same-device")

    def check() -> None:
        assert run(words).returncode == 0
        with place.owner() as owner:
            place.snapshot(owner)
            write(owner, 50)
        assert lost_and_restored(place) >= {5, 6, 7, 8, 50}

    return killing.verb(words, points, check)


def copied_anywhere(path: Path, points: Points) -> int:
    """`snapshot` rotates and prunes the log: at every moment one of the two copies and the log will do."""
    killing = Killing(path)
    place = killing.place
    words = command(place, "snapshot", "--to", str(place.copy))

    def check() -> None:
        old = place.copy.with_name("copy.old")
        if not place.copy.is_dir():
            old.rename(place.copy)
        assert lost_and_restored(place) >= {5, 6, 7, 8}
        assert run(words).returncode == 0
        assert lost_and_restored(place) >= {5, 6, 7, 8}

    return killing.verb(words, points, check)


def restored_anywhere(path: Path, points: Points) -> int:
    killing = Killing(path)
    place = killing.place
    before = place.held()
    lose(place)
    words = command(place, "restore-store", "--snapshot", str(place.copy), "--row-log", str(place.log))

    def check() -> None:
        done = run(words)
        assert done.returncode == 0, done.stderr
        assert place.held() == before
        with place.owner() as owner:
            write(owner, 50)
            assert owner.log.status().covers
        assert lost_and_restored(place) >= {5, 6, 7, 8, 50}

    return killing.verb(words, points, check)
