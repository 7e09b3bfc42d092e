"""A log's owner killed at each rename, and at the first and last of other calls; at all in `tests/long`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from logkills import Killing, begun_anywhere, copied_anywhere, renames_and_ends, restored_anywhere

pytestmark = pytest.mark.skipif(
    subprocess.run(["which", "strace"], capture_output=True).returncode != 0, reason="strace is not installed"
)


def test_commits_killed_anywhere_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert Killing(tmp_path).writer(renames_and_ends) > 8


def test_row_log_start_killed_anywhere_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert begun_anywhere(tmp_path, renames_and_ends) > 8


def test_snapshot_killed_anywhere_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert copied_anywhere(tmp_path, renames_and_ends) > 10


def test_restore_store_killed_anywhere_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert restored_anywhere(tmp_path, renames_and_ends) > 10
