"""The collection of orphans, killed before each thing that it does to the drive."""

from __future__ import annotations

import shutil
from pathlib import Path

from crashing import Crasher
from dualtrack.engine.orphans import keeping
from layers import opened, orphans_task
from orphanage import DAY, collect, orphanage, plant, tree


def test_a_collector_killed_anywhere_loses_nothing_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    made, crasher = orphanage(tmp_path / "made"), Crasher()
    step, killed = 0, True
    while killed:
        step += 1
        drive = shutil.copytree(made, tmp_path / f"{step}")
        kept = tree(drive)
        lost = {place: (drive / place).stat().st_ino for place in (plant(drive), plant(drive, "gone"))}
        killed, _ = crasher.run(
            drive=str(drive), mode="kv_only", level="eventual", step=step, operation="collect", hours=DAY
        )
        aside = {path.stat().st_ino for path in (drive / ".dualtrack/orphans").glob("*/*/*")}
        assert aside | set(tree(drive).values()) == {*kept.values(), *lost.values()}
        with opened(drive, "kv_only") as layer:
            collect(layer)
            assert tree(drive) == kept
            with orphans_task(layer, DAY) as task:
                for run_id in {each.run_id for each in keeping.records.collected(task.owner)}:
                    keeping.undo(task, run_id)
            assert tree(drive) == kept | lost
    assert step > 4
    crasher.close()
