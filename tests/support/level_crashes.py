"""A write at a consistency level, killed before each of its steps, and what a restart finds.

The promise of a level is its commit point: killed before it, the write did not happen; killed after it, it
did. After the restart there is one of the two, on both tracks, for good.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from crashing import Crasher
from dualtrack.engine.objects.errors import NoSuchKey
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import Attributes
from layers import Body, Figures, new_drive, opened, sweep

KEY = "deep/key"
BEFORE = {"none": None, "small": b"o" * 5, "large": b"O" * 200_000}
ROWS_LEAD = ("kv_only", "returning")


@dataclass(frozen=True, slots=True)
class Case:
    """What is there `before`, by its name, and the write: `content` `times` over; a deletion where empty."""

    before: str
    content: str
    times: int

    @property
    def after(self) -> bytes | None:
        return self.content.encode() * self.times or None

    def __str__(self) -> str:
        return f"{self.before}-{self.content or 'delete'}"


SHORT = (Case("none", "L", 200_000), Case("large", "s", 5), Case("large", "", 0))
ALL = (*SHORT, Case("none", "s", 5), Case("small", "L", 200_000), Case("small", "", 0))


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
    if mode in ROWS_LEAD:
        return any(step[0] == "commit" for step in steps)
    if level == "strong":
        return any(step[0] == "mark" for step in steps)
    return any(step[0] == "rename" and any(path.endswith("xl.meta") for path in step[1:]) for step in steps)


def check_each_step(path: Path, crasher: Crasher, mode: str, level: str, case: Case) -> int:
    """Kill the write before each of its steps, on a fresh copy each time; how many steps that are.

    A run that nobody disturbs says which steps there are. Each of them is one kill, and each killed run went
    the same way until then: so none is left out.
    """
    origin = template(path / "origin", case.before)
    operation = "put" if case.content else "delete"
    order = {"mode": mode, "level": level, "operation": operation, "key": KEY}

    def run(step: int) -> list[str]:
        drive = path / f"drive-{step}"
        shutil.copytree(origin, drive, copy_function=shutil.copy)
        killed, steps = crasher.run(
            drive=str(drive), step=step, content=case.content, times=case.times, **order
        )
        assert killed is (step > 0)
        done = committed(mode, level, steps)
        assert done or killed, "an answered write is committed"
        restarted(drive, mode, level, case.after if done else BEFORE[case.before])
        shutil.rmtree(drive)
        return [name for name, *_ in steps]

    whole = run(0)
    for step in range(1, len(whole) + 1):
        done = run(step)
        # A step that contains another ends after it, so up to `step - 1` have ended.
        assert done == whole[: len(done)]
        assert len(done) < step
    return len(whole)


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
        if mode != "kv_only":
            file = drive / "bucket" / KEY / "xl.meta"
            assert (file.read_bytes() if file.exists() else b"") == (row.data if row is not None else b"")
        listed = {each.key for each in layer.list_objects("bucket", "", "", "", 10).objects}
        assert listed == ({KEY} if expected is not None else set())
    assert figures.counts["rustfs_consistency_errors_total"] == 0
    assert not list((drive / ".dualtrack/tmp").iterdir())
