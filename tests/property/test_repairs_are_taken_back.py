"""Whatever is broken and however it is repaired, run upon run: undone in reverse, all is as it was."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualtrack.engine.lock import DriveLock
from dualtrack.engine.owner import Owner
from dualtrack.engine.repair.apply import repair
from dualtrack.engine.repair.strategies import Strategy
from dualtrack.engine.repair.undo import undo
from dualtrack.engine.rows import NO_FILE, RowState
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError
from planting import PLANTS
from smalldrive import BUCKET, small_bench
from sweepbench import Bench

KEYS = [f"{number:02d}" for number in range(5)]
BROKEN = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(sorted(PLANTS)), min_size=1, max_size=4)
RUNS = st.lists(
    st.sampled_from([Strategy.SYNC_TO_KV, Strategy.SYNC_TO_FS, Strategy.USE_FS]), min_size=1, max_size=3
)


@pytest.fixture(scope="module")
def fresh(minio_drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Bench]:
    """A migrated and verified drive, copied for each example."""
    folder = tmp_path_factory.mktemp("repairs")
    made = folder / "made"
    made.mkdir()
    bench = small_bench(minio_drive, made, len(KEYS))
    bench.migrate()
    bench.verify()
    count = iter(range(1_000_000))

    def copy() -> Bench:
        target = folder / str(next(count))
        subprocess.run(["cp", "--archive", str(made), str(target)], check=True)
        return Bench(target / "drive", target / "small-store")

    return copy


@contextmanager
def run(bench: Bench, owner: Owner) -> Iterator[Task]:
    task = bench.task(owner, server_stopped=True)
    with DriveLock.acquire(str(bench.drive), task.fence, task.run_id) as lock:
        task.lock = lock
        yield task


def state(bench: Bench, owner: Owner) -> tuple[object, object]:
    """Files and rows as people see them: a row that says "read the file" and knows none is no row."""
    files = {
        str(path): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in bench.drive.glob(f"{BUCKET}/*/xl.meta")
    }
    entries = dict(owner.scan_index(BUCKET, "", None, 1_000))
    rows = {
        row.key: (row.state, row.data, row.mode, row.mtime_ns, entries.get(row.key))
        for row in owner.scan(None, 1_000)
        if not (row.state is RowState.FS_RESIDENT and row.fingerprint == NO_FILE)
    }
    return files, rows


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(broken=BROKEN, strategies=RUNS)
def test_undone_in_reverse_all_is_as_it_was(
    fresh: Callable[[], Bench], broken: dict[str, str], strategies: list[Strategy]
) -> None:
    bench = fresh()
    with bench.owner() as owner:
        for key, kind in broken.items():
            PLANTS[kind][0](bench.drive, owner, (BUCKET, key))
        before = state(bench, owner)
        runs: list[str] = []
        for strategy in strategies:
            with run(bench, owner) as task, suppress(DifferenceError):
                runs.append(task.run_id)
                repair(task, strategy, accept_newer=True)
        for run_id in reversed(runs):
            with run(bench, owner) as task:
                undo(task, run_id)
        assert state(bench, owner) == before
