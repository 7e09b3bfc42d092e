"""Each consistency level, killed before every single thing that a write does to the drive.

The promise of a level is its commit point: killed before it, the write did not happen; killed after it, it
did. After the restart there is one of the two, on both tracks, for good.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crashing import Crasher
from dualtrack.engine.objects.errors import NoSuchKey
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import Attributes
from layers import Body, Figures, new_drive, opened, sweep

PLANES = [
    ("fs/1", "eventual"),
    ("fs/1", "strong"),
    ("fs/1", "lazy"),
    ("kv_primary/1/true", "eventual"),
    ("kv_primary/1/true", "strong"),
    ("kv_only", "eventual"),
]
SMALL, LARGE = ("s", 5), ("L", 200_000)
BEFORE = {"none": None, "small": b"o" * 5, "large": b"O" * 200_000}
CASES = [("none", "put", *LARGE), ("large", "put", *SMALL), ("large", "delete", "", 0)]
KEY = "deep/key"


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    running = Crasher()
    yield running
    running.close()


def template(path: Path, before: str) -> Path:
    drive = new_drive(path)
    content = BEFORE[before]
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        if content is not None:
            layer.put("bucket", KEY, Body(content), Attributes())
        layer.drain()
        sweep(layer)
    return drive


def content_of(layer: ObjectLayer) -> bytes | None:
    try:
        return b"".join(layer.read("bucket", KEY)[1])
    except NoSuchKey:
        return None


def committed(mode: str, level: str, steps: list[list[str]]) -> bool:
    """Whether the commit point of the level is among these steps."""
    if mode == "kv_only":
        return any(step[0] == "commit" for step in steps)
    if level == "strong":
        return any(step[0] == "mark" for step in steps)
    return any(step[0] == "rename" and any(path.endswith("xl.meta") for path in step[1:]) for step in steps)


@pytest.mark.parametrize(("before", "operation", "content", "times"), CASES)
@pytest.mark.parametrize(("mode", "level"), PLANES)
def test_a_write_that_is_killed_anywhere_happened_or_did_not(
    tmp_path: Path,
    crasher: Crasher,
    mode: str,
    level: str,
    before: str,
    operation: str,
    content: str,
    times: int,
) -> None:
    origin = template(tmp_path / "origin", before)
    after = content.encode() * times if operation == "put" else None
    order = {"mode": mode, "level": level, "operation": operation, "key": KEY}
    for step in range(1, 60):
        drive = tmp_path / f"drive-{step}"
        shutil.copytree(origin, drive, copy_function=shutil.copy)
        killed, steps = crasher.run(drive=str(drive), step=step, content=content, times=times, **order)
        expected = after if committed(mode, level, steps) else BEFORE[before]
        restarted(drive, mode, level, expected)
        shutil.rmtree(drive)
        if not killed:
            assert expected == after, "an answered write is committed"
            return
    raise AssertionError("the write never came to its end")


def restarted(drive: Path, mode: str, level: str, expected: bytes | None) -> None:
    """What a restart finds, in the same mode and level: the state, on both tracks, and nothing else."""
    figures = Figures()
    with opened(drive, mode, level=Level(level), figures=figures) as layer:
        assert content_of(layer) == expected
        layer.drain()
        assert content_of(layer) == expected
        owner = layer.opened.owner
        assert owner is not None
        assert owner.info().journal_depth == 0
        row = owner.get("bucket", KEY)
        assert (row is not None and row.present) == (expected is not None)
        if mode != "kv_only" and row is not None and row.present:
            assert row.data == (drive / "bucket" / KEY / "xl.meta").read_bytes()
        listed = {each.key for each in layer.list_objects("bucket", "", "", "", 10).objects}
        assert listed == ({KEY} if expected is not None else set())
    assert figures.counts["rustfs_consistency_errors_total"] == 0
    assert not list((drive / ".dualtrack/tmp").iterdir())


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
