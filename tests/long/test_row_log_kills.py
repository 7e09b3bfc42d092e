"""A log's owner killed at each of its system calls that change something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from logkills import Killing, begun_anywhere, copied_anywhere, everywhere, restored_anywhere


def test_commits_killed_anywhere(tmp_path: Path, tell: Callable[[str], None]) -> None:
    kills = Killing(tmp_path).writer(everywhere)
    assert kills > 8
    tell(f"row log, commits: killed at each of its {kills} calls")


def test_row_log_start_killed_anywhere(tmp_path: Path, tell: Callable[[str], None]) -> None:
    kills = begun_anywhere(tmp_path, everywhere)
    assert kills > 8
    tell(f"row log, row log start: killed at each of its {kills} calls")


def test_snapshot_killed_anywhere(tmp_path: Path, tell: Callable[[str], None]) -> None:
    kills = copied_anywhere(tmp_path, everywhere)
    assert kills > 10
    tell(f"row log, snapshot: killed at each of its {kills} calls")


def test_restore_store_killed_anywhere(tmp_path: Path, tell: Callable[[str], None]) -> None:
    kills = restored_anywhere(tmp_path, everywhere)
    assert kills > 10
    tell(f"row log, restore store: killed at each of its {kills} calls")
