"""The drive's marker and lock: what they say, whom they let in, whom they turn away."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.engine import lock as lock_module
from dualtrack.engine import marker
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.errors import FencedError, MarkerError, RefusedError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def moved(state: MarkerState) -> Marker:
    return Marker().moved(state, store_uuid="s", epoch=4, migration_uid="m", now=NOW)


def test_a_drive_without_a_marker_is_the_file_systems(tmp_path: Path) -> None:
    assert marker.read(str(tmp_path)) == Marker(MarkerState.FS_AUTHORITATIVE)


def test_a_marker_is_read_as_it_was_written(tmp_path: Path) -> None:
    marker.write(str(tmp_path), moved(MarkerState.KV_ONLY))
    assert marker.read(str(tmp_path)) == moved(MarkerState.KV_ONLY)
    text = (tmp_path / ".dualtrack/marker.json").read_text()
    assert json.loads(text) == {
        "check": json.loads(text)["check"],
        "schema": 1,
        "state": "KvOnly",
        "storeUUID": "s",
        "epoch": 4,
        "migrationUID": "m",
        "changed": "2026-11-23T12:00:00Z",
    }
    assert [path.name for path in (tmp_path / ".dualtrack").iterdir()] == ["marker.json"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 2}'],
)
def test_a_marker_that_cannot_be_understood_is_an_error(tmp_path: Path, text: str) -> None:
    marker.write(str(tmp_path), moved(MarkerState.KV_ONLY))
    (tmp_path / ".dualtrack/marker.json").write_text(text)
    with pytest.raises(MarkerError):
        marker.read(str(tmp_path))


def test_an_unknown_state_is_an_error(tmp_path: Path) -> None:
    marker.write(str(tmp_path), moved(MarkerState.KV_ONLY))
    path = tmp_path / ".dualtrack/marker.json"
    fields = {**json.loads(path.read_text()), "state": "KvSomething"}
    del fields["check"]
    path.write_text(json.dumps(fields))
    with pytest.raises(MarkerError, match="KvSomething"):
        marker.read(str(tmp_path))


def test_states_are_ordered() -> None:
    assert [state.rank for state in MarkerState] == [0, 1, 2, 3, 4]
    assert MarkerState.PURGED.reached(MarkerState.KV_ONLY)
    assert not MarkerState.KV_PRIMARY.reached(MarkerState.KV_ONLY)


def test_the_lock_keeps_another_run_out_and_names_the_holder(tmp_path: Path) -> None:
    with DriveLock.acquire(str(tmp_path), 1, "first"), pytest.raises(RefusedError, match="first"):
        DriveLock.acquire(str(tmp_path), 2, "second")
    with DriveLock.acquire(str(tmp_path), 2, "second"):
        assert lock_module.known_fence(str(tmp_path)) == 2


def test_the_lock_keeps_another_process_out_and_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import sys; from dualtrack.engine.lock import DriveLock\n"
        "lock = DriveLock.acquire(sys.argv[1], 5, 'child'); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(RefusedError, match="child"):
        DriveLock.acquire(str(tmp_path), 6, "parent")
    child.kill()
    child.communicate()
    DriveLock.acquire(str(tmp_path), 6, "parent").release()


def test_a_run_with_an_older_fence_may_not_change_files(tmp_path: Path) -> None:
    DriveLock.acquire(str(tmp_path), 7, "new").release()
    for fence, run in ((6, "old"), (7, "other")):
        with pytest.raises(FencedError, match="new"):
            DriveLock.acquire(str(tmp_path), fence, run)
    DriveLock.acquire(str(tmp_path), 7, "new").release()


def test_a_check_finds_a_lock_that_was_replaced(tmp_path: Path) -> None:
    with DriveLock.acquire(str(tmp_path), 1, "first") as held:
        held.check()
        (tmp_path / ".dualtrack/lock").unlink()
        with pytest.raises(FencedError):
            held.check()
        DriveLock.acquire(str(tmp_path), 2, "second").release()
        with pytest.raises(FencedError):
            held.check()


def test_a_check_finds_a_marker_that_somebody_moved(tmp_path: Path) -> None:
    marker.write(str(tmp_path), moved(MarkerState.DUAL_WRITE))
    with DriveLock.acquire(str(tmp_path), 1, "first") as held:
        held.move_marker(moved(MarkerState.KV_PRIMARY))
        held.check()
        marker.write(str(tmp_path), moved(MarkerState.FS_AUTHORITATIVE))
        with pytest.raises(MarkerError, match="FsAuthoritative"):
            held.check()
        with pytest.raises(MarkerError):
            held.move_marker(moved(MarkerState.KV_ONLY))
        assert marker.read(str(tmp_path)).state is MarkerState.FS_AUTHORITATIVE


def test_an_unreadable_lock_file_lets_nobody_in(tmp_path: Path) -> None:
    DriveLock.acquire(str(tmp_path), 7, "new").release()
    (tmp_path / ".dualtrack/lock").write_bytes(b"garbage")
    with pytest.raises(FencedError):
        DriveLock.acquire(str(tmp_path), 8, "next")
