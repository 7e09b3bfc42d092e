"""Each consistency level, killed before every single thing that a write does to the drive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crashing import Crasher
from level_crashes import KEY, SHORT, Case, check_each_step, committed, restarted, template

PLANES = [
    ("fs/1", "eventual"),
    ("fs/1", "strong"),
    ("fs/1", "lazy"),
    ("kv_primary/1/true", "eventual"),
    ("kv_primary/1/true", "strong"),
    ("kv_only", "eventual"),
    ("returning", "eventual"),
]


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    running = Crasher()
    yield running
    running.close()


@pytest.mark.parametrize("case", SHORT, ids=str)
@pytest.mark.parametrize(("mode", "level"), PLANES)
def test_a_write_that_is_killed_anywhere_happened_or_did_not(
    tmp_path: Path, crasher: Crasher, mode: str, level: str, case: Case
) -> None:
    check_each_step(tmp_path, crasher, mode, level, case)


def test_a_restart_that_is_killed_anywhere_still_carries_the_intent_out(
    tmp_path: Path, crasher: Crasher
) -> None:
    origin = template(tmp_path / "origin", "large")
    write = {"mode": "fs/1", "level": "strong", "operation": "put", "key": KEY, "content": "s", "times": 5}

    def cut_off(number: int) -> tuple[Path, list[list[str]]]:
        drive = tmp_path / "drive"
        shutil.rmtree(drive, ignore_errors=True)
        shutil.copytree(origin, drive, copy_function=shutil.copy)
        return drive, crasher.run(drive=str(drive), step=number, **write)[1]

    marked = next(number for number in range(1, 60) if committed("fs/1", "strong", cut_off(number)[1]))
    for step in range(1, 60):
        drive, steps = cut_off(marked)
        assert steps[-1][0] == "mark"
        killed, _ = crasher.run(drive=str(drive), step=step, **{**write, "operation": "open"})
        restarted(drive, "fs/1", "strong", b"s" * 5)
        if not killed:
            return
    raise AssertionError("the restart never came to its end")
