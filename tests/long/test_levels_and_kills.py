"""Every consistency level in every mode, killed at every step of every kind of write, and killed at random.

The short form, with fewer cases, is in tests/unit/objects.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import writing
from crashing import Crasher
from dualtrack.engine.objects.errors import NoSuchKey
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from layers import Figures, new_drive, opened, sweep
from level_crashes import ALL, Case, check_each_step

LEVELS = ("eventual", "strong", "lazy")
PLANES = [
    *((mode, level) for mode in ("fs/1", "kv_primary/1/true", "kv_primary/1/false") for level in LEVELS),
    ("kv_only", "eventual"),
    ("returning", "eventual"),
]
ROUNDS = 25
State = dict[str, bytes | None]


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    running = Crasher()
    yield running
    running.close()


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize(("mode", "level"), PLANES)
def test_a_write_that_is_killed_anywhere_happened_or_did_not(
    tmp_path: Path, crasher: Crasher, mode: str, level: str, case: Case, tell: Callable[[str], None]
) -> None:
    kills = check_each_step(tmp_path, crasher, mode, level, case)
    tell(f"{mode} {level} {case}: killed before each of its {kills} steps")


@pytest.mark.parametrize(("mode", "level"), PLANES)
def test_answered_writes_survive_kills_at_random(tmp_path: Path, mode: str, level: str, seed: int) -> None:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        sweep(layer)
    chance = random.Random(f"{seed} {mode} {level}")
    state: State = {writing.key_of(number): None for number in range(7)}
    start = 0
    for _ in range(ROUNDS):
        open_end = start + writing.answered_when_killed(drive, mode, start, chance.randrange(1, 60), level)
        for number in range(start, open_end):
            state[writing.key_of(number)] = writing.content_of(number)
        figures = Figures()
        with opened(drive, mode, level=Level(level), figures=figures) as layer:
            found = contents(layer)
            cut_off = {**state, writing.key_of(open_end): writing.content_of(open_end)}
            assert found in (state, cut_off)
            layer.drain()
            assert contents(layer) == found
        assert figures.counts["rustfs_consistency_errors_total"] == 0
        state, start = found, open_end + 1


def contents(layer: ObjectLayer) -> State:
    found: State = {}
    for number in range(7):
        key = writing.key_of(number)
        try:
            found[key] = b"".join(layer.read("bucket", key)[1])
        except NoSuchKey:
            found[key] = None
    return found
