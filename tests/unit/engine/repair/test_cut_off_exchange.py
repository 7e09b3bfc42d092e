"""A repair killed while it exchanges a file that somebody writes at that very moment: none of theirs goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dualtrack.engine import confirming, files
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.owner import Owner
from dualtrack.engine.put_back import CUT_OFF
from dualtrack.engine.repair.apply import repair
from dualtrack.engine.repair.strategies import Strategy
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError
from planting import PLANTS
from sweepbench import Bench

PLACE = ("bkt", "03")


@pytest.fixture
def owner(small: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    """The store of a verified drive, on which one file has become another than its row."""
    monkeypatch.setattr(confirming, "PAUSE_SECONDS", 0.001)
    small.migrate()
    small.verify()
    with small.owner() as opened:
        PLANTS["stale row"][0](small.drive, opened, PLACE)
        yield opened


@contextmanager
def run(bench: Bench, owner: Owner, run_id: str) -> Iterator[Task]:
    task = bench.task(owner, server_stopped=True)
    task.run_id = run_id
    with DriveLock.acquire(str(bench.drive), task.fence, task.run_id) as lock:
        task.lock = lock
        yield task


def write_foreign(bench: Bench, data: bytes) -> None:
    """As a server does that asks nobody: another file, renamed into the place."""
    path = bench.file(*PLACE)
    copy = path.with_name("copy")
    copy.write_bytes(data)
    copy.rename(path)


def contents(bench: Bench) -> list[bytes]:
    """Of every file of the drive that a person could still find: staging does not count, it is emptied."""
    found = [bench.file(*PLACE)] + [
        path for path in (bench.drive / ".dualtrack/undo").rglob("*") if path.is_file()
    ]
    return [path.read_bytes() for path in found]


def staged(bench: Bench) -> list[Path]:
    return [
        path
        for path in (bench.drive / ".dualtrack/tmp").iterdir()
        if path.name.startswith(("restore-", "exchange-"))
    ]


def killed_after(exchanges: int, write: Callable[[int], None], patch: pytest.MonkeyPatch) -> None:
    """`write` runs before each exchange; the process dies behind this one."""
    real, done = files.exchange, 0

    def exchange(one: str, other: str) -> None:
        nonlocal done
        if "rename-probe" in one:
            real(one, other)
            return
        write(done)
        if done == exchanges:
            raise KeyboardInterrupt
        real(one, other)
        done += 1
        if done == exchanges:
            raise KeyboardInterrupt

    patch.setattr(files, "exchange", exchange)


@pytest.mark.parametrize("exchanges", [0, 1, 2])
@pytest.mark.parametrize("times", [1, 2])
def test_what_somebody_wrote_meanwhile_is_kept_and_named(
    small: Bench, owner: Owner, exchanges: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = [small.file("bkt", f"0{9 - number}").read_bytes() for number in range(times)]
    seen: list[bytes] = []

    def write(number: int) -> None:
        if number < times:
            write_foreign(small, written[number])
            seen.append(written[number])

    with monkeypatch.context() as patch, run(small, owner, "first") as task:
        killed_after(exchanges, write, patch)
        with pytest.raises(KeyboardInterrupt):
            repair(task, Strategy.SYNC_TO_FS, [PLACE], accept_newer=True)
    before = small.file(*PLACE).read_bytes()
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "05"))
    with run(small, owner, "second") as task:
        repair(task, Strategy.SYNC_TO_FS, [("bkt", "05")], accept_newer=True)
    assert staged(small) == []
    assert small.file(*PLACE).read_bytes() == before
    # A foreign file that another one replaced by a rename of its own is gone by that writer's will.
    lost = [data for data in seen if data not in contents(small)]
    overwritten = seen[:-1] if exchanges == 0 or times == 1 else []
    assert lost == overwritten
    kept = sorted((small.drive / CUT_OFF).iterdir()) if (small.drive / CUT_OFF).exists() else []
    assert all(f"{CUT_OFF}/{path.name}" in str(task.notes["warning"]) for path in kept)
    assert len(kept) == (1 if exchanges == 1 or (exchanges == 2 and times == 2) else 0)


def test_the_bytes_of_a_row_and_a_file_that_was_put_aside_are_not_kept_twice(
    small: Bench, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for exchanges in (0, 1):
        with monkeypatch.context() as patch, run(small, owner, f"run {exchanges}") as task:
            killed_after(exchanges, lambda number: None, patch)
            with pytest.raises(KeyboardInterrupt):
                repair(task, Strategy.SYNC_TO_FS, [PLACE], accept_newer=True)
        assert len(staged(small)) == 1
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "05"))
    with run(small, owner, "last") as task:
        repair(task, Strategy.SYNC_TO_FS, accept_newer=True)
    assert staged(small) == []
    assert not (small.drive / CUT_OFF).exists()
    assert "warning" not in task.notes


def test_two_files_that_came_into_the_place_are_both_there_after_a_refusal(
    small: Bench, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One before the first exchange, one before it is taken back: the second is in no place of its own."""
    written = [small.file("bkt", key).read_bytes() for key in ("09", "08")]
    real, done = files.exchange, 0

    def exchange(one: str, other: str) -> None:
        nonlocal done
        if "rename-probe" in one:
            real(one, other)
            return
        write_foreign(small, written[done])
        done += 1
        real(one, other)

    monkeypatch.setattr(files, "exchange", exchange)
    with run(small, owner, "run") as task, pytest.raises(DifferenceError, match=f"kept as {CUT_OFF}/"):
        repair(task, Strategy.SYNC_TO_FS, [PLACE], accept_newer=True)
    assert set(written) <= set(contents(small))
    assert staged(small) == []
